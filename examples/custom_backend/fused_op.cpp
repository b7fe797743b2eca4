#include <qnative/ops.h>
#include <torch/library.h>

// mylib::fused_op: convolution, BatchNorm (which is in weight and bias by then) and relu in one.
// Its arguments have the names by which qnative gives them; see docs/backend_config.md.
namespace mylib {
namespace {

using at::Tensor;

Tensor fused_op(const Tensor& x, double x_scale, int64_t x_zero_point, const Tensor& weight,
                const Tensor& weight_scale, const std::optional<Tensor>& bias,
                at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                int64_t groups, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  TORCH_CHECK(x.dim() == 4, "mylib::fused_op: x must have 4 dimensions, got ", x.sizes());
  TORCH_CHECK(weight.dim() == 4 && weight.scalar_type() == at::kChar,
              "mylib::fused_op: weight must be int8 with 4 dimensions, got ", weight.scalar_type(),
              " ", weight.sizes());
  const Tensor real = qnative::ops::dequantize_per_tensor({x, {x_scale, x_zero_point}});
  const Tensor kernel = weight.to(at::kFloat) * weight_scale.reshape({-1, 1, 1, 1});
  const Tensor y = at::conv2d(real, kernel, bias, stride, padding, dilation, groups).relu_();
  return qnative::ops::quantize_per_tensor(y, {y_scale, y_zero_point}, {y_dtype}).data;
}

// The same without values, for torch.export and torch.compile.
Tensor fused_op_meta(const Tensor& x, double, int64_t, const Tensor& weight, const Tensor&,
                     const std::optional<Tensor>&, at::IntArrayRef stride, at::IntArrayRef padding,
                     at::IntArrayRef dilation, int64_t groups, double, int64_t,
                     at::ScalarType y_dtype) {
  const Tensor real = at::empty_like(x, at::kFloat);
  const Tensor kernel = at::empty_like(weight, at::kFloat);
  return at::conv2d(real, kernel, {}, stride, padding, dilation, groups).to(y_dtype);
}

}  // namespace

TORCH_LIBRARY(mylib, m) {
  m.def(
      "fused_op(Tensor x, float x_scale, int x_zero_point, Tensor weight, Tensor weight_scale, "
      "Tensor? bias, int[2] stride, int[2] padding, int[2] dilation, int groups, float y_scale, "
      "int y_zero_point, ScalarType y_dtype) -> Tensor");
}
TORCH_LIBRARY_IMPL(mylib, CPU, m) { m.impl("fused_op", fused_op); }
TORCH_LIBRARY_IMPL(mylib, Meta, m) { m.impl("fused_op", fused_op_meta); }

}  // namespace mylib
