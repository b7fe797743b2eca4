#include <ATen/TensorIterator.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "elementwise/elementwise.h"
#include "fp16/fp16.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr int64_t kBinaryGrain = 32 * 1024;  // elements a task
constexpr int64_t kChunk = 1024;             // elements that are made contiguous at a time

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
// elementwise_layout().
template <class T, class F>
void run_pairs(const at::Tensor& a, const at::Tensor& b, const at::Tensor& y, const F& run) {
  if (y.numel() == 0) return;
  if (a.sizes().equals(b.sizes()) && a.strides().equals(b.strides()) &&
      a.is_non_overlapping_and_dense()) {
    const auto* from_a = static_cast<const T*>(a.const_data_ptr());
    const auto* from_b = static_cast<const T*>(b.const_data_ptr());
    auto* to = static_cast<T*>(y.mutable_data_ptr());
    run_parts(y.numel(), 1, kBinaryGrain, [&](int64_t begin, int64_t end) {
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
      kBinaryGrain);
}

// All that constants and shapes determine, checked. Args: of the kernel.
template <class Int, class Args>
struct BinaryPlan {
  Layout<Int> layout;
  at::ScalarType dtype;
  Args args;
};

// All but the multipliers.
template <class Int>
BinaryPlan<Int, elementwise::Args> plan_binary(const char* op, const QTensor& a, const QTensor& b,
                                               const OutputSpec& y) {
  check_qtensor(op, "a", a, kDevice<Int>);
  check_qtensor(op, "b", b, kDevice<Int>);
  check_output(op, y);
  return {.layout = elementwise_layout<Int>(op, {a.data, b.data}),
          .dtype = y.dtype,
          .args = {.a_zero_point = unsigned_zero_point(a),
                   .b_zero_point = unsigned_zero_point(b),
                   .a_multiplier = 0,
                   .b_multiplier = 0,
                   .a_flip = flip_of(a.data.scalar_type()),
                   .b_flip = flip_of(b.data.scalar_type()),
                   .requantize = make_requantize(y)}};
}

template <class Int>
auto plan_add(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  auto plan = plan_binary<Int>("add", a, b, y);
  TORCH_CHECK(std::isfinite(alpha), "qnative::add: alpha must be finite, got ", alpha);
  const double y_scale = y.qparams.scale;
  plan.args.a_multiplier = finite_multiplier("add", a.qparams.scale / y_scale);
  plan.args.b_multiplier = finite_multiplier("add", alpha * b.qparams.scale / y_scale);
  return plan;
}

template <class Int>
auto plan_mul(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  auto plan = plan_binary<Int>("mul", a, b, y);
  plan.args.a_multiplier =
      finite_multiplier("mul", a.qparams.scale * b.qparams.scale / y.qparams.scale);
  return plan;
}

template <class Int>
BinaryPlan<Int, fp16::BinaryArgs> plan_fp16(const char* op, const at::Tensor& a,
                                            const at::Tensor& b, const Activation& activation,
                                            double alpha) {
  check_half(op, "a", a, kDevice<Int>);
  check_half(op, "b", b, kDevice<Int>);
  check_activation(op, activation);
  const float factor = finite_float(op, "alpha", alpha);
  return {.layout = elementwise_layout<Int>(op, {a, b}),
          .dtype = at::kHalf,
          .args = {.alpha = factor,
                   .lo = static_cast<float>(activation.min),
                   .hi = static_cast<float>(activation.max)}};
}

template <class T, class Args>
at::Tensor run_binary(const BinaryPlan<int64_t, Args>& plan,
                      void (&run)(const Args&, const T*, const T*, T*, int64_t),
                      const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor y = empty(plan.layout, plan.dtype);
  run_pairs<T>(a, b, y, [&](const T* left, const T* right, T* to, int64_t n) {
    run(plan.args, left, right, to, n);
  });
  return y;
}

QTensor add_meta(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  return {empty(plan_add<c10::SymInt>(a, b, y, alpha).layout, y.dtype), y.qparams};
}

QTensor mul_meta(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  return {empty(plan_mul<c10::SymInt>(a, b, y).layout, y.dtype), y.qparams};
}

at::Tensor add_fp16_meta(const at::Tensor& a, const at::Tensor& b, const Activation& activation,
                         double alpha) {
  return empty(plan_fp16<c10::SymInt>("add_fp16", a, b, activation, alpha).layout, at::kHalf);
}

at::Tensor mul_fp16_meta(const at::Tensor& a, const at::Tensor& b, const Activation& activation) {
  return empty(plan_fp16<c10::SymInt>("mul_fp16", a, b, activation, 1).layout, at::kHalf);
}

}  // namespace

QTensor add(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  static auto& run = select(elementwise::add_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  return {run_binary(plan_add<int64_t>(a, b, y, alpha), run, a.data, b.data), y.qparams};
}

QTensor mul(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  static auto& run = select(elementwise::mul_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  return {run_binary(plan_mul<int64_t>(a, b, y), run, a.data, b.data), y.qparams};
}

at::Tensor add_fp16(const at::Tensor& a, const at::Tensor& b, const Activation& activation,
                    double alpha) {
  static auto& run = select(fp16::add_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_binary(plan_fp16<int64_t>("add_fp16", a, b, activation, alpha), run, a, b);
}

at::Tensor mul_fp16(const at::Tensor& a, const at::Tensor& b, const Activation& activation) {
  static auto& run = select(fp16::mul_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_binary(plan_fp16<int64_t>("mul_fp16", a, b, activation, 1), run, a, b);
}

namespace {

// The ops of the schemas. kRun: add, mul, add_fp16, mul_fp16 or its Meta function.
template <auto kRun>
at::Tensor add_op(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                  double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                  at::ScalarType y_dtype, std::string_view activation,
                  at::ArrayRef<double> activation_args, double alpha) {
  return kRun(BorrowedQTensor(a, {a_scale, a_zero_point}),
              BorrowedQTensor(b, {b_scale, b_zero_point}),
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation("add", activation, activation_args)},
              alpha)
      .data;
}

template <auto kRun>
at::Tensor mul_op(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                  double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                  at::ScalarType y_dtype, std::string_view activation,
                  at::ArrayRef<double> activation_args) {
  return kRun(BorrowedQTensor(a, {a_scale, a_zero_point}),
              BorrowedQTensor(b, {b_scale, b_zero_point}),
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation("mul", activation, activation_args)})
      .data;
}

template <auto kRun>
at::Tensor add_fp16_op(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                       at::ArrayRef<double> activation_args, double alpha) {
  return kRun(a, b, parse_activation("add_fp16", activation, activation_args), alpha);
}

template <auto kRun>
at::Tensor mul_fp16_op(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                       at::ArrayRef<double> activation_args) {
  return kRun(a, b, parse_activation("mul_fp16", activation, activation_args));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("add", TORCH_FN(add_op<add>));
  m.impl("mul", TORCH_FN(mul_op<mul>));
  m.impl("add_fp16", TORCH_FN(add_fp16_op<add_fp16>));
  m.impl("mul_fp16", TORCH_FN(mul_fp16_op<mul_fp16>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("add", TORCH_FN(add_op<add_meta>));
  m.impl("mul", TORCH_FN(mul_op<mul_meta>));
  m.impl("add_fp16", TORCH_FN(add_fp16_op<add_fp16_meta>));
  m.impl("mul_fp16", TORCH_FN(mul_fp16_op<mul_fp16_meta>));
}

}  // namespace qnative::ops
