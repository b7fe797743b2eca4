#include <torch/library.h>

#include "checks.h"
#include "gemm/gemm.h"
#include "output.h"
#include "qnative/ops.h"
#include "weight.h"

// conv2d_pack and conv2d_unpack. The kernels read weights of a group as [n][KH][KW * C / groups]:
// a row of the window is contiguous, as it is in channels_last x.
namespace qnative::ops {
namespace {

at::Tensor pack_meta(const at::Tensor& weight, c10::SymInt groups) {
  check_unpacked("conv2d_pack", weight, "[O, C / groups, KH, KW]", 4, at::kMeta);
  const WeightLayout layout =
      conv_weight("conv2d_pack", concrete(weight.sym_sizes()), groups.guard_int(__FILE__, __LINE__))
          .layout();
  return at::empty({layout.groups * layout.group_bytes()}, weight.options());
}

at::Tensor unpack_meta(const at::Tensor& weight, c10::SymIntArrayRef weight_shape,
                       c10::SymInt groups) {
  const at::DimVector shape = concrete(weight_shape);
  const ConvWeight conv = conv_weight("conv2d_unpack", shape, groups.guard_int(__FILE__, __LINE__));
  check_packed("conv2d_unpack", weight, conv.layout(), at::kMeta);
  return at::empty(shape, weight.options());
}

}  // namespace

at::Tensor conv2d_pack(const at::Tensor& weight, int64_t groups) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_unpacked("conv2d_pack", weight, "[O, C / groups, KH, KW]", 4, at::kCPU);
  const WeightLayout layout = conv_weight("conv2d_pack", weight.sizes(), groups).layout();
  const at::Tensor nhwc = weight.permute({0, 2, 3, 1}).contiguous();
  at::Tensor packed = empty({layout.groups * layout.group_bytes()}, at::kChar);
  const int64_t group_size = layout.n * layout.segments * layout.segment_size;
  for (int64_t g = 0; g < layout.groups; ++g) {
    gemm::pack(nhwc.const_data_ptr<int8_t>() + g * group_size, layout.n, layout.segments,
               layout.segment_size, packed.mutable_data_ptr<int8_t>() + g * layout.group_bytes());
  }
  return packed;
}

at::Tensor conv2d_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape, int64_t groups) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const ConvWeight conv = conv_weight("conv2d_unpack", weight_shape, groups);
  const WeightLayout layout = conv.layout();
  check_packed("conv2d_unpack", weight, layout, at::kCPU);
  at::Tensor nhwc =
      empty({conv.out_channels, conv.kernel_h, conv.kernel_w, conv.group_channels}, at::kChar);
  const int64_t group_size = layout.n * layout.segments * layout.segment_size;
  for (int64_t g = 0; g < layout.groups; ++g) {
    gemm::unpack(weight.const_data_ptr<int8_t>() + g * layout.group_bytes(), layout.n,
                 layout.segments, layout.segment_size,
                 nhwc.mutable_data_ptr<int8_t>() + g * group_size);
  }
  return nhwc.permute({0, 3, 1, 2}).contiguous();
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("conv2d_pack", TORCH_FN(conv2d_pack));
  m.impl("conv2d_unpack", TORCH_FN(conv2d_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("conv2d_pack", TORCH_FN(pack_meta));
  m.impl("conv2d_unpack", TORCH_FN(unpack_meta));
}

}  // namespace qnative::ops
