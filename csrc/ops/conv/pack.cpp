#include <torch/library.h>

#include <string>

#include "common/checks.h"
#include "common/empty.h"
#include "conv/plan.h"
#include "gemm/gemm.h"
#include "qnative/ops/conv.h"

// <op>_pack and <op>_unpack of the convolutions. A block of the layout holds [n][segments]
// [segment_size] in the order in which windows of channels_last x lie: [O][KD * KH][KW * C /
// groups] where groups are not merged, and of transposed convolutions [O / groups][C / groups] for
// every group and tap.
namespace qnative::ops {
namespace {

// The weights that are not zero in blocks of merged groups,
// [parts][merged][n][taps][merged][C / groups]: [parts][n][taps][C / groups][merged].
at::Tensor own_channels(const at::Tensor& blocks, const ConvWeight& conv) {
  const int64_t merged = conv.merged_groups();
  return blocks
      .view({conv.groups / merged, merged, conv.out_channels / conv.groups, conv.taps(), merged,
             conv.group_channels})
      .diagonal(0, 1, 4);
}

// torch's weight with its dimensions in that order, and back.
at::Tensor to_blocks(const at::Tensor& weight, const ConvWeight& conv) {
  if (!conv.transposed) {
    const at::Tensor taps = weight.flatten(2).transpose(1, 2);
    const int64_t merged = conv.merged_groups();
    if (merged == 1) return taps;
    at::Tensor blocks =
        at::zeros({conv.out_channels, conv.taps(), merged * conv.group_channels}, at::kChar);
    own_channels(blocks, conv)
        .copy_(taps.reshape({conv.groups / merged, merged, conv.out_channels / conv.groups,
                             conv.taps(), conv.group_channels})
                   .permute({0, 2, 3, 4, 1}));
    return blocks;
  }
  const int64_t n = conv.out_channels / conv.groups;
  const at::Tensor grouped = weight.reshape({conv.groups, conv.group_channels, n, conv.taps()});
  return conv.is_depthwise() ? grouped : grouped.permute({0, 3, 2, 1});
}
at::Tensor from_blocks(const at::Tensor& blocks, const ConvWeight& conv,
                       at::IntArrayRef weight_shape) {
  if (!conv.transposed) {
    const at::Tensor taps = own_channels(blocks, conv)
                                .permute({0, 4, 1, 2, 3})
                                .reshape({conv.out_channels, conv.taps(), conv.group_channels});
    return taps.transpose(1, 2).reshape(weight_shape);
  }
  if (conv.is_depthwise()) return blocks.view(weight_shape);
  const int64_t n = conv.out_channels / conv.groups;
  const at::Tensor grouped = blocks.view({conv.groups, conv.taps(), n, conv.group_channels});
  return grouped.permute({0, 3, 2, 1}).reshape(weight_shape);
}

template <const ConvKind& kKind>
struct Packing {
  static std::string name(const char* suffix) { return std::string(kKind.name) + suffix; }

  static at::Tensor pack(const at::Tensor& weight, int64_t groups) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const std::string op = name("_pack");
    check_unpacked(op.c_str(), weight, weight_form(kKind), kKind.dims + 2, at::kCPU);
    const ConvWeight conv = conv_weight(op.c_str(), kKind, weight.sizes(), groups);
    const WeightLayout layout = conv.layout();
    const at::Tensor blocks = to_blocks(weight, conv).contiguous();
    at::Tensor packed = empty({layout.groups * layout.group_bytes()}, at::kChar);
    const int64_t block = layout.n * layout.segments * layout.segment_size;
    for (int64_t g = 0; g < layout.groups; ++g) {
      gemm::pack(blocks.const_data_ptr<int8_t>() + g * block, layout.n, layout.segments,
                 layout.segment_size, packed.mutable_data_ptr<int8_t>() + g * layout.group_bytes());
    }
    return packed;
  }

  static at::Tensor unpack(const at::Tensor& weight, at::IntArrayRef weight_shape, int64_t groups) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const std::string op = name("_unpack");
    const ConvWeight conv = conv_weight(op.c_str(), kKind, weight_shape, groups);
    const WeightLayout layout = conv.layout();
    check_packed(op.c_str(), weight, layout, at::kCPU);
    const int64_t block = layout.n * layout.segments * layout.segment_size;
    at::Tensor blocks = empty({layout.groups * block}, at::kChar);
    for (int64_t g = 0; g < layout.groups; ++g) {
      gemm::unpack(weight.const_data_ptr<int8_t>() + g * layout.group_bytes(), layout.n,
                   layout.segments, layout.segment_size,
                   blocks.mutable_data_ptr<int8_t>() + g * block);
    }
    return empty(weight_shape, at::kChar).copy_(from_blocks(blocks, conv, weight_shape));
  }

  static at::Tensor pack_meta(const at::Tensor& weight, c10::SymInt groups) {
    const std::string op = name("_pack");
    check_unpacked(op.c_str(), weight, weight_form(kKind), kKind.dims + 2, at::kMeta);
    const WeightLayout layout =
        conv_weight(op.c_str(), kKind, concrete(weight.sym_sizes()), concrete(groups)).layout();
    return at::empty({layout.groups * layout.group_bytes()}, weight.options());
  }

  static at::Tensor unpack_meta(const at::Tensor& weight, c10::SymIntArrayRef weight_shape,
                                c10::SymInt groups) {
    const std::string op = name("_unpack");
    const at::DimVector shape = concrete(weight_shape);
    const ConvWeight conv = conv_weight(op.c_str(), kKind, shape, concrete(groups));
    check_packed(op.c_str(), weight, conv.layout(), at::kMeta);
    return at::empty(shape, weight.options());
  }

  static void register_cpu(torch::Library& m) {
    m.impl(name("_pack").c_str(), TORCH_FN(pack));
    m.impl(name("_unpack").c_str(), TORCH_FN(unpack));
  }
  static void register_meta(torch::Library& m) {
    m.impl(name("_pack").c_str(), TORCH_FN(pack_meta));
    m.impl(name("_unpack").c_str(), TORCH_FN(unpack_meta));
  }
};

}  // namespace

#define QNATIVE_PACKING(op, kind)                                                           \
  at::Tensor op##_pack(const at::Tensor& weight, int64_t groups) {                          \
    return Packing<kind>::pack(weight, groups);                                             \
  }                                                                                         \
  at::Tensor op##_unpack(const at::Tensor& weight, at::IntArrayRef shape, int64_t groups) { \
    return Packing<kind>::unpack(weight, shape, groups);                                    \
  }
QNATIVE_PACKING(conv1d, kConv1d)
QNATIVE_PACKING(conv2d, kConv2d)
QNATIVE_PACKING(conv3d, kConv3d)
QNATIVE_PACKING(conv_transpose1d, kConvTranspose1d)
QNATIVE_PACKING(conv_transpose2d, kConvTranspose2d)
QNATIVE_PACKING(conv_transpose3d, kConvTranspose3d)
#undef QNATIVE_PACKING

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  Packing<kConv1d>::register_cpu(m);
  Packing<kConv2d>::register_cpu(m);
  Packing<kConv3d>::register_cpu(m);
  Packing<kConvTranspose1d>::register_cpu(m);
  Packing<kConvTranspose2d>::register_cpu(m);
  Packing<kConvTranspose3d>::register_cpu(m);
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  Packing<kConv1d>::register_meta(m);
  Packing<kConv2d>::register_meta(m);
  Packing<kConv3d>::register_meta(m);
  Packing<kConvTranspose1d>::register_meta(m);
  Packing<kConvTranspose2d>::register_meta(m);
  Packing<kConvTranspose3d>::register_meta(m);
}

}  // namespace qnative::ops
