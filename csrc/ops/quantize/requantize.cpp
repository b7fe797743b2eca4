#include <torch/library.h>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "norm/norm.h"
#include "qnative/ops/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kRequantizeGrain = 32 * 1024;  // elements a task

// All that constants and shapes determine, checked.
template <class Int>
struct RequantizePlan {
  Layout<Int> layout;
  float multiplier;
  norm::Args args;
};

template <class Int>
RequantizePlan<Int> plan_requantize(const QTensor& x, const OutputSpec& y) {
  constexpr const char* kOp = "requantize";
  check_qtensor(kOp, "x", x, kDevice<Int>, Words::kAllowed);
  check_output(kOp, y, FloatOutput::kRefused, Words::kAllowed);
  return {.layout = elementwise_layout<Int>(kOp, {x.data}),
          .multiplier = scale_ratio(kOp, x, y),
          .args = {.x_zero_point = unsigned_zero_point(x),
                   .x_flip = flip_of(x.data.scalar_type()),
                   .requantize = make_requantize(y),
                   .x_is_word = is_word(x.data.scalar_type()),
                   .y_is_word = is_word(y.dtype)}};
}

QTensor requantize_meta(const QTensor& x, const OutputSpec& y) {
  return {empty(plan_requantize<c10::SymInt>(x, y).layout, y.dtype), y.qparams};
}

// What the eager and the planned op share.
struct RequantizeOp {
  using Plan = RequantizePlan<int64_t>;
  QParams x_qparams;
  OutputSpec y;

  Plan plan(Inputs x) const {
    return plan_requantize<int64_t>(BorrowedQTensor(*x[0], x_qparams), y);
  }

  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"norm.scale"}; }

  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(norm::scale_kernels());
    const at::Tensor result = empty(plan.layout, y.dtype);
    if (result.numel() == 0) return result;
    const auto dense = with_layout_of(*x[0], result);
    const auto* const from = static_cast<const std::byte*>(dense->const_data_ptr());
    auto* const to = static_cast<std::byte*>(result.mutable_data_ptr());
    const auto x_bytes = static_cast<int64_t>(dense->element_size());
    const auto y_bytes = static_cast<int64_t>(result.element_size());
    run_parts(result.numel(), 1, kRequantizeGrain, [&](int64_t begin, int64_t end) {
      kernel(plan.args, from + begin * x_bytes, to + begin * y_bytes, end - begin, plan.multiplier,
             0);
    });
    return result;
  }
};

}  // namespace

QTensor requantize(const QTensor& x, const OutputSpec& y) {
  return {run_op(RequantizeOp{x.qparams, y}, {&x.data}), y.qparams};
}

std::unique_ptr<PlannedOp> plan_requantize_op(Arguments& arguments) {
  arguments.operand();
  RequantizeOp op{};
  op.x_qparams = arguments.qparams();
  op.y = arguments.output();
  return make_planned(op, arguments);
}

namespace {

// The op of the schema. kRun: requantize or requantize_meta.
template <auto kRun>
at::Tensor requantize_op(const at::Tensor& x, double x_scale, int64_t x_zero_point, double y_scale,
                         int64_t y_zero_point, at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}),
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("requantize", TORCH_FN(requantize_op<requantize>)); }

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("requantize", TORCH_FN(requantize_op<requantize_meta>));
}

}  // namespace qnative::ops
