#include <torch/library.h>

#include "common/checks.h"
#include "common/empty.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/epilogue.h"
#include "product/weight.h"
#include "product/windows.h"
#include "qnative/ops.h"

namespace qnative::ops {
namespace {

// Checks what linear and its Meta function share; returns the shape of y.
template <class Int>
c10::SmallVector<Int, at::kDimVectorStaticSize> check_linear(
    const at::Tensor& x, double x_scale, int64_t x_zero_point, const at::Tensor& weight,
    const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
    const WeightLayout& layout, at::DeviceType device) {
  check_8bit("linear", "x", x, device);
  check_qparams("linear", "x_", x_scale, x_zero_point, x.scalar_type());
  return check_linear_operands<Int>("linear", x, weight, weight_scale, bias, layout, device);
}

at::Tensor linear_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                       const at::Tensor& weight, const at::Tensor& weight_scale,
                       const std::optional<at::Tensor>& bias, c10::SymIntArrayRef weight_shape,
                       double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                       std::string_view activation, at::ArrayRef<double> activation_args) {
  const WeightLayout layout = linear_layout("linear", concrete(weight_shape));
  const auto y_sizes = check_linear<c10::SymInt>(x, x_scale, x_zero_point, weight, weight_scale,
                                                 bias, layout, at::kMeta);
  make_output("linear", y_scale, y_zero_point, y_dtype, activation, activation_args,
              FloatOutput::kAllowed);
  return at::empty_symint(y_sizes, x.options().dtype(y_dtype));
}

at::Tensor pack_meta(const at::Tensor& weight) {
  check_unpacked("linear_pack", weight, "[N, K]", 2, at::kMeta);
  const WeightLayout layout = linear_layout("linear_pack", concrete(weight.sym_sizes()));
  return at::empty({layout.groups * layout.group_bytes()}, weight.options());
}

at::Tensor unpack_meta(const at::Tensor& weight, c10::SymIntArrayRef weight_shape) {
  const at::DimVector shape = concrete(weight_shape);
  check_packed("linear_unpack", weight, linear_layout("linear_unpack", shape), at::kMeta);
  return at::empty(shape, weight.options());
}

}  // namespace

at::Tensor linear(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                  const at::Tensor& weight, const at::Tensor& weight_scale,
                  const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                  double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                  std::string_view activation, at::ArrayRef<double> activation_args) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const WeightLayout layout = linear_layout("linear", weight_shape);
  const auto y_sizes =
      check_linear<int64_t>(x, x_scale, x_zero_point, weight, weight_scale, bias, layout, at::kCPU);
  const Output output = make_output("linear", y_scale, y_zero_point, y_dtype, activation,
                                    activation_args, FloatOutput::kAllowed);
  Scratch scratch(ChannelParams::bytes(layout));
  const int32_t zero_point = unsigned_zero_point(x_zero_point, x.scalar_type());
  const ChannelParams params = make_channel_params("linear", x_scale, zero_point, weight, layout,
                                                   weight_scale, bias, output, scratch);
  at::Tensor y = empty(y_sizes, y_dtype);
  if (y.numel() == 0) return y;
  const auto rows = x.expect_contiguous();
  const int64_t k = layout.segment_size, m = rows->numel() / k;
  run_rows({.data = static_cast<const uint8_t*>(rows->const_data_ptr()),
            .m = m,
            .k = k,
            .row_stride = k,
            .k_stride = 1,
            .flip = flip_of(x.scalar_type())},
           make_product(weight, layout, params, output, y));
  return y;
}

at::Tensor linear_pack(const at::Tensor& weight) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_unpacked("linear_pack", weight, "[N, K]", 2, at::kCPU);
  const WeightLayout layout = linear_layout("linear_pack", weight.sizes());
  at::Tensor packed = empty({layout.group_bytes()}, at::kChar);
  gemm::pack(weight.contiguous().const_data_ptr<int8_t>(), layout.n, 1, layout.segment_size,
             packed.mutable_data_ptr<int8_t>());
  return packed;
}

at::Tensor linear_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape) {
  const WeightLayout layout = linear_layout("linear_unpack", weight_shape);
  check_packed("linear_unpack", weight, layout, at::kCPU);
  at::Tensor unpacked = empty(weight_shape, at::kChar);
  gemm::unpack(weight.const_data_ptr<int8_t>(), layout.n, 1, layout.segment_size,
               unpacked.mutable_data_ptr<int8_t>());
  return unpacked;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear", TORCH_FN(linear));
  m.impl("linear_pack", TORCH_FN(linear_pack));
  m.impl("linear_unpack", TORCH_FN(linear_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear", TORCH_FN(linear_meta));
  m.impl("linear_pack", TORCH_FN(pack_meta));
  m.impl("linear_unpack", TORCH_FN(unpack_meta));
}

}  // namespace qnative::ops
