#include <ATen/TensorIterator.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "elementwise/elementwise.h"
#include "fp16/fp16.h"
#include "product/channel_params.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 32 * 1024;  // elements a task
constexpr int64_t kChunk = 1024;       // elements that are made contiguous at a time

struct Operand {
  const at::Tensor& tensor;
  double scale;
  int64_t zero_point;
};

void check_binary(const char* op, const Operand& a, const Operand& b, at::DeviceType device) {
  check_8bit(op, "a", a.tensor, device);
  check_8bit(op, "b", b.tensor, device);
  check_qparams(op, "a_", a.scale, a.zero_point, a.tensor.scalar_type());
  check_qparams(op, "b_", b.scale, b.zero_point, b.tensor.scalar_type());
}

// n elements `stride` bytes apart, as contiguous ones: x itself or `copy`.
template <class T>
const T* contiguous_elements(const char* x, int64_t stride, int64_t n, T* copy) {
  if (stride == sizeof(T)) return reinterpret_cast<const T*>(x);
  if (stride == 0) {
    std::fill_n(copy, n, *reinterpret_cast<const T*>(x));
  } else {
    for (int64_t i = 0; i < n; ++i) copy[i] = *reinterpret_cast<const T*>(x + i * stride);
  }
  return copy;
}

template <class T, class F>
void run_row(const F& run, char* const* data, const int64_t* strides, int64_t n) {
  T a_copy[kChunk], b_copy[kChunk], y_copy[kChunk];
  const bool dense = strides[0] == sizeof(T);
  const int64_t step = dense && strides[1] == sizeof(T) && strides[2] == sizeof(T) ? n : kChunk;
  for (int64_t i = 0; i < n; i += step) {
    const int64_t size = std::min(step, n - i);
    char* const y = data[0] + i * strides[0];
    T* const to = dense ? reinterpret_cast<T*>(y) : y_copy;
    run(contiguous_elements(data[1] + i * strides[1], strides[1], size, a_copy),
        contiguous_elements(data[2] + i * strides[2], strides[2], size, b_copy), to, size);
    for (int64_t j = 0; !dense && j < size; ++j) {
      *reinterpret_cast<T*>(y + j * strides[0]) = y_copy[j];
    }
  }
}

// run(a, b, y, n) for runs of contiguous elements that together are y, which has the layout of
// empty_elementwise().
template <class T, class F>
void run_pairs(const at::Tensor& a, const at::Tensor& b, const at::Tensor& y, const F& run) {
  if (y.numel() == 0) return;
  if (a.sizes().equals(b.sizes()) && a.strides().equals(b.strides()) &&
      a.is_non_overlapping_and_dense()) {
    const auto* from_a = static_cast<const T*>(a.const_data_ptr());
    const auto* from_b = static_cast<const T*>(b.const_data_ptr());
    auto* to = static_cast<T*>(y.mutable_data_ptr());
    run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
      run(from_a + begin, from_b + begin, to + begin, end - begin);
    });
    return;
  }
  at::TensorIterator iterator = at::TensorIteratorConfig()
                                    .set_check_mem_overlap(false)
                                    .check_all_same_dtype(false)
                                    .resize_outputs(false)
                                    .add_output(y)
                                    .add_const_input(a)
                                    .add_const_input(b)
                                    .build();
  iterator.for_each(
      [&](char** data, const int64_t* strides, int64_t size0, int64_t size1) {
        char* rows[3] = {data[0], data[1], data[2]};
        for (int64_t i = 0; i < size1; ++i) {
          run_row<T>(run, rows, strides, size0);
          for (int t = 0; t < 3; ++t) rows[t] += strides[3 + t];
        }
      },
      kGrain);
}

at::Tensor run_binary(const char* op, elementwise::Fn& run, const Operand& a, const Operand& b,
                      float a_multiplier, float b_multiplier, const OutputSpec& output) {
  const elementwise::Args args{
      .a_zero_point = unsigned_zero_point(a.zero_point, a.tensor.scalar_type()),
      .b_zero_point = unsigned_zero_point(b.zero_point, b.tensor.scalar_type()),
      .a_multiplier = a_multiplier,
      .b_multiplier = b_multiplier,
      .a_flip = flip_of(a.tensor.scalar_type()),
      .b_flip = flip_of(b.tensor.scalar_type()),
      .requantize = make_requantize(output)};
  const at::Tensor y = empty_elementwise(op, {a.tensor, b.tensor}, output.dtype);
  run_pairs<uint8_t>(a.tensor, b.tensor, y,
                     [&](const uint8_t* left, const uint8_t* right, uint8_t* to, int64_t n) {
                       run(args, left, right, to, n);
                     });
  return y;
}

fp16::BinaryArgs check_fp16(const char* op, const at::Tensor& a, const at::Tensor& b,
                            std::string_view activation, at::ArrayRef<double> activation_args,
                            double alpha, at::DeviceType device) {
  check_half(op, "a", a, device);
  check_half(op, "b", b, device);
  const Activation bounds = check_activation(op, parse_activation(op, activation, activation_args));
  return {.alpha = finite_float(op, "alpha", alpha),
          .lo = static_cast<float>(bounds.min),
          .hi = static_cast<float>(bounds.max)};
}

at::Tensor run_fp16(const char* op, fp16::BinaryFn& run, const at::Tensor& a, const at::Tensor& b,
                    const fp16::BinaryArgs& args) {
  const at::Tensor y = empty_elementwise(op, {a, b}, at::kHalf);
  run_pairs<uint16_t>(a, b, y,
                      [&](const uint16_t* left, const uint16_t* right, uint16_t* to, int64_t n) {
                        run(args, left, right, to, n);
                      });
  return y;
}

at::Tensor add_fp16_meta(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                         at::ArrayRef<double> activation_args, double alpha) {
  check_fp16("add_fp16", a, b, activation, activation_args, alpha, at::kMeta);
  return empty_elementwise_meta("add_fp16", {a, b}, at::kHalf);
}

at::Tensor mul_fp16_meta(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                         at::ArrayRef<double> activation_args) {
  check_fp16("mul_fp16", a, b, activation, activation_args, 1, at::kMeta);
  return empty_elementwise_meta("mul_fp16", {a, b}, at::kHalf);
}

at::Tensor add_meta(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                    double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype, std::string_view activation,
                    at::ArrayRef<double> activation_args, double) {
  check_binary("add", {a, a_scale, a_zero_point}, {b, b_scale, b_zero_point}, at::kMeta);
  make_output("add", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return empty_elementwise_meta("add", {a, b}, y_dtype);
}

at::Tensor mul_meta(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                    double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype, std::string_view activation,
                    at::ArrayRef<double> activation_args) {
  check_binary("mul", {a, a_scale, a_zero_point}, {b, b_scale, b_zero_point}, at::kMeta);
  make_output("mul", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return empty_elementwise_meta("mul", {a, b}, y_dtype);
}

}  // namespace

at::Tensor add(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
               double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
               at::ScalarType y_dtype, std::string_view activation,
               at::ArrayRef<double> activation_args, double alpha) {
  static auto& run = select(elementwise::add_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Operand left{a, a_scale, a_zero_point}, right{b, b_scale, b_zero_point};
  check_binary("add", left, right, at::kCPU);
  const OutputSpec output =
      make_output("add", y_scale, y_zero_point, y_dtype, activation, activation_args);
  TORCH_CHECK(std::isfinite(alpha), "qnative::add: alpha must be finite, got ", alpha);
  return run_binary("add", run, left, right, finite_multiplier("add", a_scale / y_scale),
                    finite_multiplier("add", alpha * b_scale / y_scale), output);
}

at::Tensor mul(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
               double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
               at::ScalarType y_dtype, std::string_view activation,
               at::ArrayRef<double> activation_args) {
  static auto& run = select(elementwise::mul_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Operand left{a, a_scale, a_zero_point}, right{b, b_scale, b_zero_point};
  check_binary("mul", left, right, at::kCPU);
  const OutputSpec output =
      make_output("mul", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return run_binary("mul", run, left, right, finite_multiplier("mul", a_scale * b_scale / y_scale),
                    0, output);
}

at::Tensor add_fp16(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                    at::ArrayRef<double> activation_args, double alpha) {
  static auto& run = select(fp16::add_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto args = check_fp16("add_fp16", a, b, activation, activation_args, alpha, at::kCPU);
  return run_fp16("add_fp16", run, a, b, args);
}

at::Tensor mul_fp16(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                    at::ArrayRef<double> activation_args) {
  static auto& run = select(fp16::mul_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto args = check_fp16("mul_fp16", a, b, activation, activation_args, 1, at::kCPU);
  return run_fp16("mul_fp16", run, a, b, args);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("add", TORCH_FN(add));
  m.impl("mul", TORCH_FN(mul));
  m.impl("add_fp16", TORCH_FN(add_fp16));
  m.impl("mul_fp16", TORCH_FN(mul_fp16));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("add", TORCH_FN(add_meta));
  m.impl("mul", TORCH_FN(mul_meta));
  m.impl("add_fp16", TORCH_FN(add_fp16_meta));
  m.impl("mul_fp16", TORCH_FN(mul_fp16_meta));
}

}  // namespace qnative::ops
