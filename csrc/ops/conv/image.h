#pragma once

#include <ATen/ATen.h>

#include "common/image.h"
#include "conv/plan.h"
#include "product/channel_params.h"
#include "product/windows.h"

// x and y of convolutions as the kernels see them. Inside, a signal of one dimension is an image of
// one row.
namespace qnative::ops {

// y as kernels write it: [N, O, H, W] or, for three dimensions, [N, O, D, H, W], channels last.
at::Tensor empty_output(const ConvPlan<int64_t>& plan);

// y as the op returns it, on Meta.
at::Tensor meta_output(const ConvPlan<c10::SymInt>& plan, const at::Tensor& x);
QTensor conv_meta(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
                  const ConvGeometry& geometry, const OutputSpec& y);

// x: from to_image(); zero_point: that of the op's x.
Source make_source(const at::Tensor& x, int64_t zero_point);
OutputStrides make_output_strides(const at::Tensor& y);
// x with channels that lie side by side, unless run_windows() reads it as fast without.
at::Tensor with_dense_channels(const at::Tensor& x);
// x as run_depthwise() wants it, for `channels` output channels.
at::Tensor for_depthwise(const at::Tensor& x, int64_t channels);

// run_windows() on an image of one row, rows and columns exchanged: it shares out rows.
void run_image(Convolution convolution);
// window_tables() of that.
std::vector<int64_t> image_tables(Convolution convolution);

}  // namespace qnative::ops
