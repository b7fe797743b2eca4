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
constexpr int64_t kGrain = 16 * 1024;  // elements a task

fp16::UnaryArgs check(const at::Tensor& x, std::string_view function,
                      at::ArrayRef<double> function_args, at::DeviceType device) {
  check_half(kOp, "x", x, device);
  const bool is_affine = function == "affine", is_division = function == "floor_divide";
  Activation activation;
  float numbers[2] = {};
  if (is_affine || is_division) {
    const size_t wanted = is_affine ? 2 : 1;
    TORCH_CHECK(function_args.size() == wanted, "qnative::", kOp, ": function '", function,
                "' takes ", wanted, " function_args, got ", function_args.size());
    for (size_t i = 0; i < wanted; ++i) {
      numbers[i] = finite_float(kOp, "function_args", function_args[i]);
    }
  } else {
    activation = check_activation(
        kOp, parse_activation(kOp, function, function_args, Functions::kAllowed, "function"),
        Functions::kAllowed, "function");
  }
  return {.function = is_affine     ? fp16::Function::kAffine
                      : is_division ? fp16::Function::kFloorDivide
                                    : fp16::Function::kActivation,
          .activation = activation.function,
          .a = numbers[0],
          .b = numbers[1],
          .lo = static_cast<float>(activation.min),
          .hi = static_cast<float>(activation.max)};
}

at::Tensor pointwise_fp16_meta(const at::Tensor& x, std::string_view function,
                               at::ArrayRef<double> function_args) {
  check(x, function, function_args, at::kMeta);
  return empty_elementwise_meta(kOp, {x}, at::kHalf);
}

}  // namespace

at::Tensor pointwise_fp16(const at::Tensor& x, std::string_view function,
                          at::ArrayRef<double> function_args) {
  static auto& run = select(fp16::unary_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const fp16::UnaryArgs args = check(x, function, function_args, at::kCPU);
  const at::Tensor y = empty_elementwise(kOp, {x}, at::kHalf);
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x, y);
  const auto* from = static_cast<const uint16_t*>(dense.const_data_ptr());
  auto* to = static_cast<uint16_t*>(y.mutable_data_ptr());
  run_parts(y.numel(), 1, kGrain,
            [&](int64_t begin, int64_t end) { run(args, from + begin, to + begin, end - begin); });
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("pointwise_fp16", TORCH_FN(pointwise_fp16)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("pointwise_fp16", TORCH_FN(pointwise_fp16_meta)); }

}  // namespace qnative::ops
