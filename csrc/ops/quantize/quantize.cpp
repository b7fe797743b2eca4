#include "quantize/quantize.h"

#include <torch/library.h>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "qnative/ops/quantize.h"
#include "quantize/checks.h"

namespace qnative::ops {
void check_real(const char* op, const at::Tensor& x, at::DeviceType device, const char* name) {
  check_tensor(op, name, x, device);
  const at::ScalarType dtype = x.scalar_type();
  TORCH_CHECK(
      dtype == at::kFloat || dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kDouble,
      "qnative::", op, ": ", name, " must be Float, Half, BFloat16 or Double, got ", dtype);
}

Range check_quant_range(const char* op, const QRange& range, Words words) {
  const bool may_be_word = words == Words::kAllowed;
  TORCH_CHECK(is_8bit(range.dtype) || (may_be_word && is_word(range.dtype)), "qnative::", op,
              ": dtype must be ", may_be_word ? "Byte, Char or Short" : "Byte or Char", ", got ",
              range.dtype);
  const Range whole = range_of(range.dtype);
  const Range part{range.quant_min.value_or(whole.min), range.quant_max.value_or(whole.max)};
  TORCH_CHECK(whole.min <= part.min && part.min < part.max && part.max <= whole.max,
              "qnative::", op, ": quant_min < quant_max must lie in [", whole.min, ", ", whole.max,
              "] for ", range.dtype, ", got ", part.min, " and ", part.max);
  return part;
}

namespace {

constexpr int64_t kGrain = 16 * 1024;  // elements a task

// All that constants and shapes determine, checked.
template <class Int>
struct QuantizePlan {
  Layout<Int> layout;
  float inverse_scale;
  Requantize requantize;
};

template <class Int>
QuantizePlan<Int> plan_quantize(const at::Tensor& x, const QParams& qparams, const QRange& range) {
  constexpr const char* kOp = "quantize_per_tensor";
  check_real(kOp, x, kDevice<Int>);
  const Range part = check_quant_range(kOp, range, Words::kAllowed);
  check_qparams(kOp, "", qparams, range.dtype);
  return {.layout = elementwise_layout<Int>(kOp, {x}),
          .inverse_scale = static_cast<float>(1.0 / qparams.scale),
          .requantize = {.zero_point = unsigned_zero_point(qparams.zero_point, range.dtype),
                         .lo = unsigned_zero_point(part.min, range.dtype),
                         .hi = unsigned_zero_point(part.max, range.dtype),
                         .flip = flip_of(range.dtype)}};
}

at::Tensor run_quantize(const QuantizePlan<int64_t>& plan, const at::Tensor& x,
                        at::ScalarType dtype) {
  static auto& run_bytes = select(quantize::quantize_kernels());
  static auto& run_words = select(quantize::quantize_words_kernels());
  const at::Tensor y = empty(plan.layout, dtype);
  if (y.numel() == 0) return y;
  const auto real = as_float(x);
  const auto dense = with_layout_of(*real, y);
  const float* from = dense->const_data_ptr<float>();
  void* const to = y.mutable_data_ptr();
  run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (is_word(dtype)) {
      run_words(from + begin, static_cast<int16_t*>(to) + begin, n, plan.inverse_scale,
                plan.requantize);
    } else {
      run_bytes(from + begin, static_cast<uint8_t*>(to) + begin, n, plan.inverse_scale,
                plan.requantize);
    }
  });
  return y;
}

// Returns the layout of y.
template <class Int>
Layout<Int> plan_dequantize(const QTensor& x) {
  constexpr const char* kOp = "dequantize_per_tensor";
  check_quantized(kOp, "x", x.data, kDevice<Int>, Words::kAllowed);
  check_qparams(kOp, "", x.qparams, x.data.scalar_type());
  return elementwise_layout<Int>(kOp, {x.data});
}

at::Tensor run_dequantize(const Layout<int64_t>& layout, const at::Tensor& x,
                          const QParams& qparams) {
  static auto& run_bytes = select(quantize::dequantize_kernels());
  static auto& run_words = select(quantize::dequantize_words_kernels());
  const at::Tensor y = empty(layout, at::kFloat);
  if (y.numel() == 0) return y;
  const auto dense = with_layout_of(x, y);
  const void* const from = dense->const_data_ptr();
  float* to = y.mutable_data_ptr<float>();
  const auto scale = static_cast<float>(qparams.scale);
  const int32_t zero_point = unsigned_zero_point(qparams.zero_point, x.scalar_type());
  const uint8_t flip = flip_of(x.scalar_type());
  run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
    if (is_word(x.scalar_type())) {
      run_words(static_cast<const int16_t*>(from) + begin, to + begin, end - begin, scale);
    } else {
      run_bytes(static_cast<const uint8_t*>(from) + begin, to + begin, end - begin, scale,
                zero_point, flip);
    }
  });
  return y;
}

QTensor quantize_meta(const at::Tensor& x, const QParams& qparams, const QRange& range) {
  return {empty(plan_quantize<c10::SymInt>(x, qparams, range).layout, range.dtype), qparams};
}

at::Tensor dequantize_meta(const QTensor& x) {
  return empty(plan_dequantize<c10::SymInt>(x), at::kFloat);
}

// What the eager and the planned ops share.
struct QuantizeOp {
  using Plan = QuantizePlan<int64_t>;
  QParams qparams;
  QRange range;

  Plan plan(Inputs x) const { return plan_quantize<int64_t>(*x[0], qparams, range); }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"quantize"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    return run_quantize(plan, *x[0], range.dtype);
  }
};

struct DequantizeOp {
  using Plan = Layout<int64_t>;
  QParams qparams;

  Plan plan(Inputs x) const { return plan_dequantize<int64_t>(BorrowedQTensor(*x[0], qparams)); }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"quantize.dequantize"}; }
  at::Tensor run(const Plan& plan, Inputs x) const { return run_dequantize(plan, *x[0], qparams); }
};

}  // namespace

QTensor quantize_per_tensor(const at::Tensor& x, const QParams& qparams, const QRange& range) {
  return {run_op(QuantizeOp{qparams, range}, {&x}), qparams};
}

at::Tensor dequantize_per_tensor(const QTensor& x) {
  return run_op(DequantizeOp{x.qparams}, {&x.data});
}

std::unique_ptr<PlannedOp> plan_quantize_op(Arguments& arguments) {
  arguments.operand();
  const QParams qparams = arguments.qparams();
  QRange range{arguments.dtype()};
  range.quant_min = arguments.optional<int64_t>();
  range.quant_max = arguments.optional<int64_t>();
  return make_planned(QuantizeOp{qparams, range}, arguments);
}

std::unique_ptr<PlannedOp> plan_dequantize_op(Arguments& arguments) {
  arguments.operand();
  return make_planned(DequantizeOp{arguments.qparams()}, arguments);
}

namespace {

// The ops of the schemas. kRun: quantize_per_tensor, dequantize_per_tensor or its Meta function.
template <auto kRun>
at::Tensor quantize_op(const at::Tensor& x, double scale, int64_t zero_point, at::ScalarType dtype,
                       std::optional<int64_t> quant_min, std::optional<int64_t> quant_max) {
  return kRun(x, {scale, zero_point}, {dtype, quant_min, quant_max}).data;
}

template <auto kRun>
at::Tensor dequantize_op(const at::Tensor& x, double scale, int64_t zero_point) {
  return kRun(BorrowedQTensor(x, {scale, zero_point}));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("quantize_per_tensor", TORCH_FN(quantize_op<quantize_per_tensor>));
  m.impl("dequantize_per_tensor", TORCH_FN(dequantize_op<dequantize_per_tensor>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("quantize_per_tensor", TORCH_FN(quantize_op<quantize_meta>));
  m.impl("dequantize_per_tensor", TORCH_FN(dequantize_op<dequantize_meta>));
}

}  // namespace qnative::ops
