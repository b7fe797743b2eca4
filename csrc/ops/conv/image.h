#pragma once

#include <ATen/ATen.h>

#include "common/image.h"
#include "conv/shape.h"
#include "product/channel_params.h"
#include "product/windows.h"

// x and y of convolutions as the kernels see them. Inside, a signal of one dimension is an image of
// one row.
namespace qnative::ops {

// Arguments of the schemas that do not depend on the form of the convolution.
struct ConvOperands {
  const at::Tensor& x;
  double x_scale;
  int64_t x_zero_point;
  const at::Tensor& weight;
  const at::Tensor& weight_scale;
  const std::optional<at::Tensor>& bias;
};

// Everything but the output; {N, O, depth, height, width} of y.
template <class Int>
std::array<Int, 5> check_conv(const ConvOperands& in, const ConvArgs& args, at::DeviceType device);

// y of the kernels: [N, O, H, W] or, for three dimensions, [N, O, D, H, W], channels last.
at::Tensor empty_image(const std::array<int64_t, 5>& sizes, const ConvArgs& args,
                       at::ScalarType dtype);
at::Tensor conv_meta(const ConvOperands& in, const ConvArgs& args, at::ScalarType y_dtype);

// x: from to_image().
Source make_source(const at::Tensor& x, int64_t x_zero_point);
OutputStrides make_output_strides(const at::Tensor& y);
// x with channels that lie side by side, unless run_convolution() reads it as fast without.
at::Tensor with_dense_channels(const at::Tensor& x);
// x as run_depthwise() wants it, for `channels` output channels.
at::Tensor for_depthwise(const at::Tensor& x, int64_t channels);

// Offsets into a padded image are computed in 64 bits, and in 32 bits inside of a row.
void check_padded_size(const ConvArgs& args, const Window& window, int64_t channels);

// run_convolution() on an image of one row, rows and columns exchanged: it shares out rows.
void run_image(Convolution convolution);

}  // namespace qnative::ops
