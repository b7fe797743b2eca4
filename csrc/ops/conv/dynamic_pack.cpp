#include <torch/library.h>

#include <string>
#include <tuple>

#include "common/checks.h"
#include "conv/plan.h"
#include "product/float_weight.h"
#include "qnative/ops/conv.h"

// <op>_dynamic_pack: float weights become int8 ones, which <op>_pack packs.
namespace qnative::ops {
namespace {

using PackCodes = at::Tensor(const at::Tensor& weight, int64_t groups);

// torch's weight as rows, one for each output channel.
at::Tensor to_rows(const at::Tensor& weight, const ConvWeight& conv) {
  if (!conv.transposed) return weight.reshape({conv.out_channels, -1});
  return weight
      .reshape({conv.groups, conv.group_channels, conv.out_channels / conv.groups, conv.taps()})
      .transpose(1, 2)
      .reshape({conv.out_channels, -1});
}

// The inverse, of the shape of torch's weight.
at::Tensor from_rows(const at::Tensor& rows, const ConvWeight& conv, at::IntArrayRef shape) {
  if (!conv.transposed) return rows.view(shape);
  return rows.view({conv.groups, conv.out_channels / conv.groups, conv.group_channels, conv.taps()})
      .transpose(1, 2)
      .reshape(shape);
}

template <const ConvKind& kKind, PackCodes& kPack>
struct DynamicPacking {
  static std::string name() { return std::string(kKind.name) + "_pack"; }

  static ConvWeight check(const at::Tensor& weight, int64_t groups, at::DeviceType device) {
    const std::string op = name();
    check_tensor(op.c_str(), "weight", weight, device);
    check_dtype(op.c_str(), "weight", weight, at::kFloat);
    TORCH_CHECK(weight.dim() == kKind.dims + 2, "qnative::", op, ": weight must be ",
                weight_form(kKind), ", got ", weight.sym_sizes());
    return conv_weight(op.c_str(), kKind, concrete(weight.sym_sizes()), groups);
  }

  static PackedWeight pack(const at::Tensor& weight, int64_t groups) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const ConvWeight conv = check(weight, groups, at::kCPU);
    const at::Tensor rows = to_rows(weight, conv);
    const at::Tensor scale =
        weight_scale_of(finite_magnitudes(name().c_str(), rows, "output channel"));
    const at::Tensor codes = from_rows(weight_codes(rows, scale), conv, weight.sizes());
    return {kPack(codes.to(at::kChar), groups), scale, {}, weight.sizes()};
  }

  static std::tuple<at::Tensor, at::Tensor> pack_op(const at::Tensor& weight, int64_t groups) {
    PackedWeight packed = pack(weight, groups);
    return {std::move(packed.data), std::move(packed.scale)};
  }

  static std::tuple<at::Tensor, at::Tensor> pack_meta(const at::Tensor& weight,
                                                      c10::SymInt groups) {
    const ConvWeight conv = check(weight, concrete(groups), at::kMeta);
    const WeightLayout layout = conv.layout();
    return {at::empty({layout.groups * layout.group_bytes()}, weight.options().dtype(at::kChar)),
            at::empty({conv.out_channels}, weight.options())};
  }
};

using DynamicConv1d = DynamicPacking<kConv1dDynamic, conv1d_pack>;
using DynamicConv2d = DynamicPacking<kConv2dDynamic, conv2d_pack>;
using DynamicConv3d = DynamicPacking<kConv3dDynamic, conv3d_pack>;
using DynamicConvTranspose1d = DynamicPacking<kConvTranspose1dDynamic, conv_transpose1d_pack>;
using DynamicConvTranspose2d = DynamicPacking<kConvTranspose2dDynamic, conv_transpose2d_pack>;
using DynamicConvTranspose3d = DynamicPacking<kConvTranspose3dDynamic, conv_transpose3d_pack>;

template <class... Packings>
void register_packs(torch::Library& m) {
  (m.impl(Packings::name().c_str(), TORCH_FN(Packings::pack_op)), ...);
}
template <class... Packings>
void register_meta_packs(torch::Library& m) {
  (m.impl(Packings::name().c_str(), TORCH_FN(Packings::pack_meta)), ...);
}

}  // namespace

PackedWeight conv1d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConv1d::pack(weight, groups);
}

PackedWeight conv2d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConv2d::pack(weight, groups);
}

PackedWeight conv3d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConv3d::pack(weight, groups);
}

PackedWeight conv_transpose1d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConvTranspose1d::pack(weight, groups);
}

PackedWeight conv_transpose2d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConvTranspose2d::pack(weight, groups);
}

PackedWeight conv_transpose3d_dynamic_pack(const at::Tensor& weight, int64_t groups) {
  return DynamicConvTranspose3d::pack(weight, groups);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  register_packs<DynamicConv1d, DynamicConv2d, DynamicConv3d, DynamicConvTranspose1d,
                 DynamicConvTranspose2d, DynamicConvTranspose3d>(m);
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  register_meta_packs<DynamicConv1d, DynamicConv2d, DynamicConv3d, DynamicConvTranspose1d,
                      DynamicConvTranspose2d, DynamicConvTranspose3d>(m);
}

}  // namespace qnative::ops
