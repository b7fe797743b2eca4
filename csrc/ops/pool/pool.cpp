#include "pool/pool.h"

#include <torch/library.h>

#include <algorithm>
#include <cstring>

#include "common/dispatch.h"
#include "fp16/fp16.h"
#include "pool/window.h"
#include "product/channel_params.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pool.h"

// One implementation for 1, 2 and 3 dimensions: `rank`.
namespace qnative::ops {
namespace {

constexpr const char* kMaxPool[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAvgPool[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr const char* kAdaptive[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                     "adaptive_avg_pool3d"};
constexpr const char* kAvgPoolFp16[] = {"avg_pool1d_fp16", "avg_pool2d_fp16", "avg_pool3d_fp16"};
constexpr const char* kAdaptiveFp16[] = {"adaptive_avg_pool1d_fp16", "adaptive_avg_pool2d_fp16",
                                         "adaptive_avg_pool3d_fp16"};

// The number that a window's sum is divided by.
struct Divisor {
  bool count_padding = false;
  std::optional<int64_t> fixed;

  int64_t of(const Run& run) const {
    if (fixed) return *fixed;
    return count_padding ? run.padded_taps : run.taps();
  }
};

struct Average {
  double x_scale;
  int64_t x_zero_point;
  Divisor divisor;
  OutputSpec output;
};

pool::Window kernel_window(const Run& run) {
  return {.x = run.x,
          .row_stride = run.row_stride,
          .pixel_stride = run.pixel_stride,
          .rows = run.rows,
          .columns = run.columns,
          .channels = run.channels,
          .outputs = run.outputs,
          .output_stride = run.output_stride,
          .planes = run.planes,
          .plane_stride = run.plane_stride};
}

void run_average(const char* op, const at::Tensor& x, int64_t rank, const Triple<Axis>& axes,
                 const Average& average, const at::Tensor& y) {
  static auto& run_mean = select(pool::mean_kernels());
  const Requantize q = make_requantize(average.output);
  const uint8_t flip = flip_of(x.scalar_type());
  const int32_t zero_point = unsigned_zero_point(average.x_zero_point, x.scalar_type());
  for_runs(op, x, rank, axes, y, [&](const Run& run) {
    const double divisor = static_cast<double>(average.divisor.of(run));
    const float multiplier =
        finite_multiplier(op, average.x_scale / (divisor * average.output.qparams.scale));
    run_mean(kernel_window(run), flip, zero_point, multiplier, q, run.y);
  });
}

void run_average_fp16(const char* op, const at::Tensor& x, int64_t rank, const Triple<Axis>& axes,
                      const Divisor& divisor, const at::Tensor& y) {
  static auto& run_mean = select(fp16::mean_kernels());
  for_runs(op, x, rank, axes, y, [&](const Run& run) {
    run_mean(kernel_window(run), static_cast<double>(divisor.of(run)),
             reinterpret_cast<uint16_t*>(run.y));
  });
}

Divisor check_divisor(const char* op, bool count_include_pad,
                      std::optional<int64_t> divisor_override) {
  TORCH_CHECK(!divisor_override || *divisor_override != 0, "qnative::", op,
              ": divisor_override must not be 0");
  return {count_include_pad, divisor_override};
}

// A maximum needs no scale.
void check_max_pool(const char* op, const at::Tensor& x, at::DeviceType device) {
  check_tensor(op, "x", x, device);
  TORCH_CHECK(is_8bit(x.scalar_type()) || x.scalar_type() == at::kHalf, "qnative::", op,
              ": x must be Byte, Char or Half, got ", x.scalar_type());
}

template <class Int>
Triple<Int> adaptive_size(const char* op, int64_t rank, const at::Tensor& x,
                          at::ArrayRef<Int> output_size) {
  check_image(op, at::symint::sizes<Int>(x), rank);
  return expand_triple(op, "output_size", output_size, rank, 0);
}

template <class Int>
Triple<Int> check_adaptive(int64_t rank, const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           at::ArrayRef<Int> output_size, at::DeviceType device) {
  const char* const op = kAdaptive[rank - 1];
  check_8bit(op, "x", x, device);
  check_qparams(op, "x_", x_scale, x_zero_point, x.scalar_type());
  return adaptive_size(op, rank, x, output_size);
}

template <class Int>
PoolArgs<Int> check_avg_pool(int64_t rank, const at::Tensor& x, double x_scale,
                             int64_t x_zero_point, at::ArrayRef<Int> kernel_size,
                             at::ArrayRef<Int> stride, at::ArrayRef<Int> padding, bool ceil_mode,
                             at::DeviceType device) {
  const char* const op = kAvgPool[rank - 1];
  check_8bit(op, "x", x, device);
  check_qparams(op, "x_", x_scale, x_zero_point, x.scalar_type());
  return pool_args<Int>(op, rank, kernel_size, stride, padding, Int(1), ceil_mode);
}

template <int rank>
at::Tensor max_pool_meta(const at::Tensor& x, c10::SymIntArrayRef kernel_size,
                         c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                         c10::SymIntArrayRef dilation, bool ceil_mode) {
  const char* const op = kMaxPool[rank - 1];
  check_max_pool(op, x, at::kMeta);
  const auto args =
      pool_args<c10::SymInt>(op, rank, kernel_size, stride, padding, dilation, ceil_mode);
  return empty_image_meta(x, rank, pool_size(op, x, args), x.scalar_type());
}

template <int rank>
at::Tensor avg_pool_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         c10::SymIntArrayRef kernel_size, c10::SymIntArrayRef stride,
                         c10::SymIntArrayRef padding, bool ceil_mode, bool count_include_pad,
                         std::optional<int64_t> divisor_override, double y_scale,
                         int64_t y_zero_point, at::ScalarType y_dtype) {
  const char* const op = kAvgPool[rank - 1];
  const auto args = check_avg_pool<c10::SymInt>(rank, x, x_scale, x_zero_point, kernel_size, stride,
                                                padding, ceil_mode, at::kMeta);
  check_divisor(op, count_include_pad, divisor_override);
  make_output(op, y_scale, y_zero_point, y_dtype);
  return empty_image_meta(x, rank, pool_size(op, x, args), y_dtype);
}

at::Tensor avg_pool1d_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           c10::SymIntArrayRef kernel_size, c10::SymIntArrayRef stride,
                           c10::SymIntArrayRef padding, bool ceil_mode, bool count_include_pad,
                           double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  return avg_pool_meta<1>(x, x_scale, x_zero_point, kernel_size, stride, padding, ceil_mode,
                          count_include_pad, std::nullopt, y_scale, y_zero_point, y_dtype);
}

template <int rank>
at::Tensor adaptive_avg_pool_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  c10::SymIntArrayRef output_size, double y_scale,
                                  int64_t y_zero_point, at::ScalarType y_dtype) {
  const auto size =
      check_adaptive<c10::SymInt>(rank, x, x_scale, x_zero_point, output_size, at::kMeta);
  make_output(kAdaptive[rank - 1], y_scale, y_zero_point, y_dtype);
  return empty_image_meta(x, rank, size, y_dtype);
}

template <int rank>
at::Tensor avg_pool_fp16_meta(const at::Tensor& x, c10::SymIntArrayRef kernel_size,
                              c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                              bool ceil_mode, bool count_include_pad,
                              std::optional<int64_t> divisor_override) {
  const char* const op = kAvgPoolFp16[rank - 1];
  check_half(op, "x", x, at::kMeta);
  const auto args =
      pool_args<c10::SymInt>(op, rank, kernel_size, stride, padding, c10::SymInt(1), ceil_mode);
  check_divisor(op, count_include_pad, divisor_override);
  return empty_image_meta(x, rank, pool_size(op, x, args), at::kHalf);
}

at::Tensor avg_pool1d_fp16_meta(const at::Tensor& x, c10::SymIntArrayRef kernel_size,
                                c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                                bool ceil_mode, bool count_include_pad) {
  return avg_pool_fp16_meta<1>(x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                               std::nullopt);
}

template <int rank>
at::Tensor adaptive_avg_pool_fp16_meta(const at::Tensor& x, c10::SymIntArrayRef output_size) {
  const char* const op = kAdaptiveFp16[rank - 1];
  check_half(op, "x", x, at::kMeta);
  return empty_image_meta(x, rank, adaptive_size(op, rank, x, output_size), at::kHalf);
}

at::Tensor max_pool(int64_t rank, const at::Tensor& x, at::IntArrayRef kernel_size,
                    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                    bool ceil_mode) {
  static auto& run_max = select(pool::max_kernels());
  static auto& run_max_fp16 = select(fp16::max_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = kMaxPool[rank - 1];
  check_max_pool(op, x, at::kCPU);
  const auto args = pool_args<int64_t>(op, rank, kernel_size, stride, padding, dilation, ceil_mode);
  const auto size = pool_size(op, x, args);
  const at::Tensor y = empty_image(x, rank, size, x.scalar_type());
  const uint8_t flip = flip_of(x.scalar_type());
  const auto axes = window_axes(image_size<int64_t>(x, rank), size, args);
  // Dilation can step over the image: the maximum of nothing is the smallest value.
  if (x.scalar_type() == at::kHalf) {
    for_runs(op, x, rank, axes, y, [&](const Run& run) {
      run_max_fp16(kernel_window(run), reinterpret_cast<uint16_t*>(run.y));
    });
    return y;
  }
  for_runs(op, x, rank, axes, y, [&](const Run& run) {
    if (run.taps() == 0) {
      std::memset(run.y, flip, run.outputs * run.channels);
    } else {
      run_max(kernel_window(run), flip, run.y);
    }
  });
  return y;
}

at::Tensor avg_pool(int64_t rank, const at::Tensor& x, double x_scale, int64_t x_zero_point,
                    at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                    bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor_override,
                    double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = kAvgPool[rank - 1];
  const auto args = check_avg_pool<int64_t>(rank, x, x_scale, x_zero_point, kernel_size, stride,
                                            padding, ceil_mode, at::kCPU);
  const Average average{x_scale, x_zero_point,
                        check_divisor(op, count_include_pad, divisor_override),
                        make_output(op, y_scale, y_zero_point, y_dtype)};
  const auto size = pool_size(op, x, args);
  const at::Tensor y = empty_image(x, rank, size, y_dtype);
  run_average(op, x, rank, window_axes(image_size<int64_t>(x, rank), size, args), average, y);
  return y;
}

at::Tensor adaptive_avg_pool(int64_t rank, const at::Tensor& x, double x_scale,
                             int64_t x_zero_point, at::IntArrayRef output_size, double y_scale,
                             int64_t y_zero_point, at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = kAdaptive[rank - 1];
  const auto size = check_adaptive<int64_t>(rank, x, x_scale, x_zero_point, output_size, at::kCPU);
  const Average average{x_scale, x_zero_point, Divisor{},
                        make_output(op, y_scale, y_zero_point, y_dtype)};
  const at::Tensor y = empty_image(x, rank, size, y_dtype);
  run_average(op, x, rank, adaptive_axes(image_size<int64_t>(x, rank), size), average, y);
  return y;
}

at::Tensor avg_pool_fp16(int64_t rank, const at::Tensor& x, at::IntArrayRef kernel_size,
                         at::IntArrayRef stride, at::IntArrayRef padding, bool ceil_mode,
                         bool count_include_pad, std::optional<int64_t> divisor_override) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = kAvgPoolFp16[rank - 1];
  check_half(op, "x", x, at::kCPU);
  const auto args = pool_args<int64_t>(op, rank, kernel_size, stride, padding, 1, ceil_mode);
  const Divisor divisor = check_divisor(op, count_include_pad, divisor_override);
  const auto size = pool_size(op, x, args);
  const at::Tensor y = empty_image(x, rank, size, at::kHalf);
  const auto axes = window_axes(image_size<int64_t>(x, rank), size, args);
  run_average_fp16(op, x, rank, axes, divisor, y);
  return y;
}

at::Tensor adaptive_avg_pool_fp16(int64_t rank, const at::Tensor& x, at::IntArrayRef output_size) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = kAdaptiveFp16[rank - 1];
  check_half(op, "x", x, at::kCPU);
  const auto size = adaptive_size(op, rank, x, output_size);
  const at::Tensor y = empty_image(x, rank, size, at::kHalf);
  run_average_fp16(op, x, rank, adaptive_axes(image_size<int64_t>(x, rank), size), Divisor{}, y);
  return y;
}

}  // namespace

at::Tensor max_pool1d(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                      at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  return max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode);
}

at::Tensor max_pool2d(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                      at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  return max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode);
}

at::Tensor max_pool3d(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                      at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  return max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode);
}

at::Tensor avg_pool1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                      bool ceil_mode, bool count_include_pad, double y_scale, int64_t y_zero_point,
                      at::ScalarType y_dtype) {
  return avg_pool(1, x, x_scale, x_zero_point, kernel_size, stride, padding, ceil_mode,
                  count_include_pad, std::nullopt, y_scale, y_zero_point, y_dtype);
}

at::Tensor avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                      bool ceil_mode, bool count_include_pad,
                      std::optional<int64_t> divisor_override, double y_scale, int64_t y_zero_point,
                      at::ScalarType y_dtype) {
  return avg_pool(2, x, x_scale, x_zero_point, kernel_size, stride, padding, ceil_mode,
                  count_include_pad, divisor_override, y_scale, y_zero_point, y_dtype);
}

at::Tensor avg_pool3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                      bool ceil_mode, bool count_include_pad,
                      std::optional<int64_t> divisor_override, double y_scale, int64_t y_zero_point,
                      at::ScalarType y_dtype) {
  return avg_pool(3, x, x_scale, x_zero_point, kernel_size, stride, padding, ceil_mode,
                  count_include_pad, divisor_override, y_scale, y_zero_point, y_dtype);
}

at::Tensor adaptive_avg_pool1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               at::IntArrayRef output_size, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype) {
  return adaptive_avg_pool(1, x, x_scale, x_zero_point, output_size, y_scale, y_zero_point,
                           y_dtype);
}

at::Tensor adaptive_avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               at::IntArrayRef output_size, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype) {
  return adaptive_avg_pool(2, x, x_scale, x_zero_point, output_size, y_scale, y_zero_point,
                           y_dtype);
}

at::Tensor adaptive_avg_pool3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               at::IntArrayRef output_size, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype) {
  return adaptive_avg_pool(3, x, x_scale, x_zero_point, output_size, y_scale, y_zero_point,
                           y_dtype);
}

at::Tensor avg_pool1d_fp16(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                           at::IntArrayRef padding, bool ceil_mode, bool count_include_pad) {
  return avg_pool_fp16(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                       std::nullopt);
}

at::Tensor avg_pool2d_fp16(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                           at::IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                           std::optional<int64_t> divisor_override) {
  return avg_pool_fp16(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                       divisor_override);
}

at::Tensor avg_pool3d_fp16(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                           at::IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                           std::optional<int64_t> divisor_override) {
  return avg_pool_fp16(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                       divisor_override);
}

at::Tensor adaptive_avg_pool1d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16(1, x, output_size);
}

at::Tensor adaptive_avg_pool2d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16(2, x, output_size);
}

at::Tensor adaptive_avg_pool3d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16(3, x, output_size);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("max_pool1d", TORCH_FN(max_pool1d));
  m.impl("max_pool2d", TORCH_FN(max_pool2d));
  m.impl("max_pool3d", TORCH_FN(max_pool3d));
  m.impl("avg_pool1d", TORCH_FN(avg_pool1d));
  m.impl("avg_pool2d", TORCH_FN(avg_pool2d));
  m.impl("avg_pool3d", TORCH_FN(avg_pool3d));
  m.impl("avg_pool1d_fp16", TORCH_FN(avg_pool1d_fp16));
  m.impl("avg_pool2d_fp16", TORCH_FN(avg_pool2d_fp16));
  m.impl("avg_pool3d_fp16", TORCH_FN(avg_pool3d_fp16));
  m.impl("adaptive_avg_pool1d", TORCH_FN(adaptive_avg_pool1d));
  m.impl("adaptive_avg_pool2d", TORCH_FN(adaptive_avg_pool2d));
  m.impl("adaptive_avg_pool3d", TORCH_FN(adaptive_avg_pool3d));
  m.impl("adaptive_avg_pool1d_fp16", TORCH_FN(adaptive_avg_pool1d_fp16));
  m.impl("adaptive_avg_pool2d_fp16", TORCH_FN(adaptive_avg_pool2d_fp16));
  m.impl("adaptive_avg_pool3d_fp16", TORCH_FN(adaptive_avg_pool3d_fp16));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("max_pool1d", TORCH_FN(max_pool_meta<1>));
  m.impl("max_pool2d", TORCH_FN(max_pool_meta<2>));
  m.impl("max_pool3d", TORCH_FN(max_pool_meta<3>));
  m.impl("avg_pool1d", TORCH_FN(avg_pool1d_meta));
  m.impl("avg_pool2d", TORCH_FN(avg_pool_meta<2>));
  m.impl("avg_pool3d", TORCH_FN(avg_pool_meta<3>));
  m.impl("avg_pool1d_fp16", TORCH_FN(avg_pool1d_fp16_meta));
  m.impl("avg_pool2d_fp16", TORCH_FN(avg_pool_fp16_meta<2>));
  m.impl("avg_pool3d_fp16", TORCH_FN(avg_pool_fp16_meta<3>));
  m.impl("adaptive_avg_pool1d", TORCH_FN(adaptive_avg_pool_meta<1>));
  m.impl("adaptive_avg_pool2d", TORCH_FN(adaptive_avg_pool_meta<2>));
  m.impl("adaptive_avg_pool3d", TORCH_FN(adaptive_avg_pool_meta<3>));
  m.impl("adaptive_avg_pool1d_fp16", TORCH_FN(adaptive_avg_pool_fp16_meta<1>));
  m.impl("adaptive_avg_pool2d_fp16", TORCH_FN(adaptive_avg_pool_fp16_meta<2>));
  m.impl("adaptive_avg_pool3d_fp16", TORCH_FN(adaptive_avg_pool_fp16_meta<3>));
}

}  // namespace qnative::ops
