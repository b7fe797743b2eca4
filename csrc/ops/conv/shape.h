#pragma once

#include <ATen/ATen.h>

#include <array>
#include <string_view>

#include "common/checks.h"
#include "product/weight.h"

// Arguments of convolutions of one to three dimensions, checked, and the shapes they lead to.
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

// A value for depth, height and width. What a convolution of fewer dimensions lacks in front has
// the value that changes nothing.
using Spatial = std::array<int64_t, 3>;

// weight_shape: {O, C / groups, spatial...}, of transposed convolutions {C, O / groups,
// spatial...}.
struct ConvWeight {
  bool transposed;
  int64_t out_channels, group_channels;  // group_channels: inputs of a group
  Spatial kernel;
  int64_t groups;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // One input channel for each output channel: the layout that dwconv reads.
  bool is_depthwise() const { return groups > 1 && group_channels == 1; }
  // So many groups are packed as one, with zeros where an output channel is of another group than
  // an input channel: a panel of 16 output channels takes as long with zeros as with padding.
  int64_t merged_groups() const;
  // As the kernels read them. Of transposed convolutions every tap is packed by itself, group by
  // group, because stride and dilation decide which taps make up a product.
  WeightLayout layout() const;
  // What an output channel needs to know: groups and channels of layout(), all taps in one.
  WeightLayout channels() const;
};
ConvWeight conv_weight(const char* op, const ConvKind& kind, at::IntArrayRef weight_shape,
                       int64_t groups);
// "[O, C / groups, KH, KW]", for messages
const char* weight_form(const ConvKind& kind);

struct ConvArgs {
  const ConvKind& kind;
  ConvWeight weight;
  Spatial stride, dilation;
  Spatial padding_begin, padding_end;
  Spatial output_padding;  // of transposed convolutions

  int64_t extent(size_t i) const { return (weight.kernel[i] - 1) * dilation[i] + 1; }
};

ConvArgs conv_args(const ConvKind& kind, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups);
// padding: "valid" or "same"
ConvArgs conv_args(const ConvKind& kind, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   std::string_view padding, at::IntArrayRef dilation, int64_t groups);
ConvArgs conv_transpose_args(const ConvKind& kind, at::IntArrayRef weight_shape,
                             at::IntArrayRef stride, at::IntArrayRef padding,
                             at::IntArrayRef output_padding, at::IntArrayRef dilation,
                             int64_t groups);

// {N, O, depth, height, width} of y; N = 1 for x without a batch.
template <class Int>
std::array<Int, 5> conv_sizes(at::ArrayRef<Int> x_sizes, const ConvArgs& args);

}  // namespace qnative::ops
