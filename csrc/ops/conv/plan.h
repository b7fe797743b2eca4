#pragma once

#include <ATen/ATen.h>

#include <array>
#include <string_view>

#include "common/image.h"
#include "product/weight.h"
#include "qnative/ops/conv.h"

// Arguments of convolutions of one to three dimensions, checked, and the shapes that follow.
namespace qnative::ops {

struct ConvKind {
  const char* name;
  int64_t dims;
  bool transposed;
};
inline constexpr ConvKind kConv1d{"conv1d", 1, false};
inline constexpr ConvKind kConv2d{"conv2d", 2, false};
inline constexpr ConvKind kConv3d{"conv3d", 3, false};
inline constexpr ConvKind kConvTranspose1d{"conv_transpose1d", 1, true};
inline constexpr ConvKind kConvTranspose2d{"conv_transpose2d", 2, true};
inline constexpr ConvKind kConvTranspose3d{"conv_transpose3d", 3, true};
inline constexpr ConvKind kConv1dDynamic{"conv1d_dynamic", 1, false};
inline constexpr ConvKind kConv2dDynamic{"conv2d_dynamic", 2, false};
inline constexpr ConvKind kConv3dDynamic{"conv3d_dynamic", 3, false};
inline constexpr ConvKind kConvTranspose1dDynamic{"conv_transpose1d_dynamic", 1, true};
inline constexpr ConvKind kConvTranspose2dDynamic{"conv_transpose2d_dynamic", 2, true};
inline constexpr ConvKind kConvTranspose3dDynamic{"conv_transpose3d_dynamic", 3, true};

// weight_shape: {O, C / groups, spatial...}, of transposed convolutions {C, O / groups,
// spatial...}.
struct ConvWeight {
  bool transposed;
  int64_t out_channels, group_channels;  // group_channels: inputs of a group
  Spatial<int64_t> kernel;
  int64_t groups;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // One input channel for each output channel: the layout that dwconv reads.
  bool is_depthwise() const { return groups > 1 && group_channels == 1; }
  // So many groups are packed as one, with zeros where an output channel is of another group than
  // an input channel: a panel of 16 output channels takes as long with zeros as with padding.
  int64_t merged_groups() const;
  // The layout that the kernels read. Transposed convolutions pack every tap by itself, group by
  // group, because stride and dilation decide which taps make up a product.
  WeightLayout layout() const;
  // For the parameters of output channels: groups and channels of layout(), all taps in one.
  WeightLayout channels() const;
};
ConvWeight conv_weight(const char* op, const ConvKind& kind, at::IntArrayRef weight_shape,
                       int64_t groups);
// "[O, C / groups, KH, KW]", for messages
const char* weight_form(const ConvKind& kind);

struct ConvArgs {
  const ConvKind& kind;
  ConvWeight weight;
  Spatial<int64_t> stride, dilation;
  Spatial<int64_t> padding_begin, padding_end;
  Spatial<int64_t> output_padding;  // of transposed convolutions

  int64_t extent(size_t i) const { return (weight.kernel[i] - 1) * dilation[i] + 1; }
};

ConvArgs conv_args(const ConvKind& kind, at::IntArrayRef weight_shape,
                   const ConvGeometry& geometry);

// The padding of a schema: numbers, "valid" or "same".
inline ConvPadding make_padding(const ConvKind&, at::IntArrayRef values) { return values; }
inline ConvPadding make_padding(const ConvKind&, c10::SymIntArrayRef values) {
  return at::IntArrayRef(concrete(values));
}
ConvPadding make_padding(const ConvKind& kind, std::string_view name);

// All that constants and shapes determine, checked.
template <class Int>
struct ConvPlan {
  ConvArgs args;
  OutputSpec output;
  std::array<Int, 5> y_sizes;  // {N, O, depth, height, width}; N = 1 for x without a batch
};
template <class Int>
ConvPlan<Int> plan_conv(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
                        const ConvGeometry& geometry, const OutputSpec& y, at::DeviceType device);
// The same for float32 x, and y with any activation that the kernels have.
template <class Int>
ConvPlan<Int> plan_conv(const ConvKind& kind, const at::Tensor& x, const PackedWeight& w,
                        const ConvGeometry& geometry, const Activation& activation,
                        at::DeviceType device);

}  // namespace qnative::ops
