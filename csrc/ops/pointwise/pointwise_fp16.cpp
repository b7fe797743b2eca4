#include <torch/library.h>

#include "common/activation.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "fp16/fp16.h"
#include "qnative/ops/fp16.h"

namespace qnative::ops {
namespace {

constexpr const char* kOp = "pointwise_fp16";
constexpr int64_t kFp16Grain = 16 * 1024;  // elements a task

fp16::UnaryArgs args_of(const Affine& affine) {
  return {.function = fp16::Function::kAffine,
          .activation = {},
          .a = finite_float(kOp, "function_args", affine.scale),
          .b = finite_float(kOp, "function_args", affine.shift),
          .lo = -std::numeric_limits<float>::infinity(),
          .hi = std::numeric_limits<float>::infinity()};
}

fp16::UnaryArgs args_of(const FloorDivide& division) {
  return {.function = fp16::Function::kFloorDivide,
          .activation = {},
          .a = finite_float(kOp, "function_args", division.divisor),
          .b = 0,
          .lo = -std::numeric_limits<float>::infinity(),
          .hi = std::numeric_limits<float>::infinity()};
}

fp16::UnaryArgs args_of(const Activation& activation) {
  check_activation(kOp, activation, Functions::kAllowed, "function");
  return {.function = fp16::Function::kActivation,
          .activation = activation.function,
          .a = 0,
          .b = 0,
          .lo = static_cast<float>(activation.min),
          .hi = static_cast<float>(activation.max)};
}

// All that constants and shapes determine, checked.
template <class Int>
struct PointwisePlan {
  fp16::UnaryArgs args;
  Layout<Int> layout;
};

template <class Int>
PointwisePlan<Int> plan_pointwise(const at::Tensor& x, const PointwiseFunction& function) {
  check_half(kOp, "x", x, kDevice<Int>);
  return {std::visit([](const auto& value) { return args_of(value); }, function),
          elementwise_layout<Int>(kOp, {x})};
}

at::Tensor run_pointwise(const PointwisePlan<int64_t>& plan, const at::Tensor& x) {
  static auto& run = select(fp16::unary_kernels());
  const at::Tensor y = empty(plan.layout, at::kHalf);
  if (y.numel() == 0) return y;
  const auto dense = with_layout_of(x, y);
  const auto* from = static_cast<const uint16_t*>(dense->const_data_ptr());
  auto* to = static_cast<uint16_t*>(y.mutable_data_ptr());
  run_parts(y.numel(), 1, kFp16Grain, [&](int64_t begin, int64_t end) {
    run(plan.args, from + begin, to + begin, end - begin);
  });
  return y;
}

at::Tensor pointwise_fp16_meta(const at::Tensor& x, const PointwiseFunction& function) {
  return empty(plan_pointwise<c10::SymInt>(x, function).layout, at::kHalf);
}

// function, function_args of the schema.
PointwiseFunction parse_function(std::string_view function, at::ArrayRef<double> args) {
  const bool is_affine = function == "affine";
  if (!is_affine && function != "floor_divide") {
    return parse_activation(kOp, function, args, Functions::kAllowed, "function");
  }
  const size_t wanted = is_affine ? 2 : 1;
  TORCH_CHECK(args.size() == wanted, "qnative::", kOp, ": function '", function, "' takes ", wanted,
              " function_args, got ", args.size());
  if (is_affine) return Affine{args[0], args[1]};
  return FloorDivide{args[0]};
}

}  // namespace

at::Tensor pointwise_fp16(const at::Tensor& x, const PointwiseFunction& function) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_pointwise(plan_pointwise<int64_t>(x, function), x);
}

namespace {

// The op of the schema. kRun: pointwise_fp16 or pointwise_fp16_meta.
template <auto kRun>
at::Tensor pointwise_fp16_op(const at::Tensor& x, std::string_view function,
                             at::ArrayRef<double> function_args) {
  return kRun(x, parse_function(function, function_args));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("pointwise_fp16", TORCH_FN(pointwise_fp16_op<pointwise_fp16>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("pointwise_fp16", TORCH_FN(pointwise_fp16_op<pointwise_fp16_meta>));
}

}  // namespace qnative::ops
