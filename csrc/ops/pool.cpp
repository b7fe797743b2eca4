#include "pool/pool.h"

#include <torch/library.h>

#include <cstring>

#include "dispatch.h"
#include "epilogue.h"
#include "pool_window.h"
#include "qnative/ops.h"

namespace qnative::ops {
namespace {

// The number that a window's sum is divided by.
struct Divisor {
  bool count_padding = false;
  std::optional<int64_t> fixed;

  int64_t of(const Run& run) const {
    if (fixed) return *fixed;
    return count_padding ? run.padded_taps : run.rows * run.columns;
  }
};

struct Average {
  double x_scale;
  int64_t x_zero_point;
  Divisor divisor;
  Output output;
};

pool::Window kernel_window(const Run& run) {
  return {.x = run.x,
          .row_stride = run.row_stride,
          .pixel_stride = run.pixel_stride,
          .rows = run.rows,
          .columns = run.columns,
          .channels = run.channels,
          .outputs = run.outputs,
          .output_stride = run.output_stride};
}

void run_average(const char* op, const at::Tensor& x, const Axis& vertical, const Axis& horizontal,
                 const Average& average, const at::Tensor& y) {
  static auto& run_mean = select(pool::mean_kernels());
  const Requantize q = make_requantize(average.output);
  const uint8_t flip = flip_of(x.scalar_type());
  const int32_t zero_point = unsigned_zero_point(average.x_zero_point, x.scalar_type());
  for_runs(op, x, vertical, horizontal, y, [&](const Run& run) {
    const double divisor = static_cast<double>(average.divisor.of(run));
    const float multiplier =
        finite_multiplier(op, average.x_scale / (divisor * average.output.scale));
    run_mean(kernel_window(run), flip, zero_point, multiplier, q, run.y);
  });
}

Divisor check_divisor(bool count_include_pad, std::optional<int64_t> divisor_override) {
  TORCH_CHECK(!divisor_override || *divisor_override != 0,
              "qnative::avg_pool2d: divisor_override must not be 0");
  return {count_include_pad, divisor_override};
}

template <class Int>
Pair<Int> check_adaptive(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         at::ArrayRef<Int> output_size, at::DeviceType device) {
  const char* const op = "adaptive_avg_pool2d";
  check_8bit(op, "x", x, device);
  check_qparams(op, "x_", x_scale, x_zero_point, x.scalar_type());
  check_image(op, at::symint::sizes<Int>(x));
  return expand_pair(op, "output_size", output_size, 0);
}

template <class Int>
PoolArgs<Int> check_avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                               at::ArrayRef<Int> padding, bool ceil_mode, at::DeviceType device) {
  check_8bit("avg_pool2d", "x", x, device);
  check_qparams("avg_pool2d", "x_", x_scale, x_zero_point, x.scalar_type());
  return pool_args<Int>("avg_pool2d", kernel_size, stride, padding, Int(1), ceil_mode);
}

at::Tensor max_pool2d_meta(const at::Tensor& x, c10::SymIntArrayRef kernel_size,
                           c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                           c10::SymIntArrayRef dilation, bool ceil_mode) {
  check_8bit("max_pool2d", "x", x, at::kMeta);
  const auto args =
      pool_args<c10::SymInt>("max_pool2d", kernel_size, stride, padding, dilation, ceil_mode);
  return empty_image_meta(x, pool_size("max_pool2d", x, args), x.scalar_type());
}

at::Tensor avg_pool2d_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           c10::SymIntArrayRef kernel_size, c10::SymIntArrayRef stride,
                           c10::SymIntArrayRef padding, bool ceil_mode, bool count_include_pad,
                           std::optional<int64_t> divisor_override, double y_scale,
                           int64_t y_zero_point, at::ScalarType y_dtype) {
  const auto args = check_avg_pool2d<c10::SymInt>(x, x_scale, x_zero_point, kernel_size, stride,
                                                  padding, ceil_mode, at::kMeta);
  check_divisor(count_include_pad, divisor_override);
  make_output("avg_pool2d", y_scale, y_zero_point, y_dtype);
  return empty_image_meta(x, pool_size("avg_pool2d", x, args), y_dtype);
}

at::Tensor adaptive_avg_pool2d_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                    c10::SymIntArrayRef output_size, double y_scale,
                                    int64_t y_zero_point, at::ScalarType y_dtype) {
  const auto size = check_adaptive<c10::SymInt>(x, x_scale, x_zero_point, output_size, at::kMeta);
  make_output("adaptive_avg_pool2d", y_scale, y_zero_point, y_dtype);
  return empty_image_meta(x, size, y_dtype);
}

}  // namespace

at::Tensor max_pool2d(const at::Tensor& x, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                      at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  static auto& run_max = select(pool::max_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_8bit("max_pool2d", "x", x, at::kCPU);
  const auto args =
      pool_args<int64_t>("max_pool2d", kernel_size, stride, padding, dilation, ceil_mode);
  const Pair<int64_t> size = pool_size("max_pool2d", x, args);
  const at::Tensor y = empty_image(x, size.h, size.w, x.scalar_type());
  const Axis vertical = window_axis(x.size(-2), size.h, args.kernel.h, args.stride.h,
                                    args.padding.h, args.dilation.h);
  const Axis horizontal = window_axis(x.size(-1), size.w, args.kernel.w, args.stride.w,
                                      args.padding.w, args.dilation.w);
  const uint8_t flip = flip_of(x.scalar_type());
  for_runs("max_pool2d", x, vertical, horizontal, y, [&](const Run& run) {
    if (run.rows == 0 || run.columns == 0) {
      // Dilation can step over the image: the maximum of nothing is the smallest value.
      std::memset(run.y, flip, run.outputs * run.channels);
    } else {
      run_max(kernel_window(run), flip, run.y);
    }
  });
  return y;
}

at::Tensor avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                      bool ceil_mode, bool count_include_pad,
                      std::optional<int64_t> divisor_override, double y_scale, int64_t y_zero_point,
                      at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto args = check_avg_pool2d<int64_t>(x, x_scale, x_zero_point, kernel_size, stride,
                                              padding, ceil_mode, at::kCPU);
  const Average average{x_scale, x_zero_point, check_divisor(count_include_pad, divisor_override),
                        make_output("avg_pool2d", y_scale, y_zero_point, y_dtype)};
  const Pair<int64_t> size = pool_size("avg_pool2d", x, args);
  const at::Tensor y = empty_image(x, size.h, size.w, y_dtype);
  run_average("avg_pool2d", x,
              window_axis(x.size(-2), size.h, args.kernel.h, args.stride.h, args.padding.h, 1),
              window_axis(x.size(-1), size.w, args.kernel.w, args.stride.w, args.padding.w, 1),
              average, y);
  return y;
}

at::Tensor adaptive_avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               at::IntArrayRef output_size, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto size = check_adaptive<int64_t>(x, x_scale, x_zero_point, output_size, at::kCPU);
  const Average average{x_scale, x_zero_point, Divisor{},
                        make_output("adaptive_avg_pool2d", y_scale, y_zero_point, y_dtype)};
  const at::Tensor y = empty_image(x, size.h, size.w, y_dtype);
  run_average("adaptive_avg_pool2d", x, adaptive_axis(x.size(-2), size.h),
              adaptive_axis(x.size(-1), size.w), average, y);
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("max_pool2d", TORCH_FN(max_pool2d));
  m.impl("avg_pool2d", TORCH_FN(avg_pool2d));
  m.impl("adaptive_avg_pool2d", TORCH_FN(adaptive_avg_pool2d));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("max_pool2d", TORCH_FN(max_pool2d_meta));
  m.impl("avg_pool2d", TORCH_FN(avg_pool2d_meta));
  m.impl("adaptive_avg_pool2d", TORCH_FN(adaptive_avg_pool2d_meta));
}

}  // namespace qnative::ops
