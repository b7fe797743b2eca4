#pragma once

#include <ATen/ATen.h>

#include <initializer_list>

#include "qnative/export.h"
#include "qnative/types.h"

// Convolutions; qnative/ops.h has the words and rules.
//
//   const PackedWeight w{ops::conv2d_pack(weight, groups), scale, bias, weight.sizes()};  // once
//   const ConvGeometry geometry{.stride = 2, .padding = 1, .groups = groups};
//   const QTensor y = ops::conv2d(x, w, geometry, {.qparams = {0.5, 128}});  // for each x
//
// Safe to call from any number of threads at the same time, also with one weight.
namespace qnative {

// Real zeros around x: one value or one for each dimension, or two: (front, back, (top, bottom,))
// left, right. same(): y has the size of x; stride 1; of an odd total the larger part is at the
// end, as in torch.
class ConvPadding {
 public:
  ConvPadding(int64_t value) : values_(value) {}
  ConvPadding(std::initializer_list<int64_t> values) : values_(values) {}
  ConvPadding(at::IntArrayRef values) : values_(values) {}
  static ConvPadding valid() { return 0; }
  static ConvPadding same() {
    ConvPadding padding = 0;
    padding.is_same_ = true;
    return padding;
  }

  at::IntArrayRef values() const { return values_; }
  bool is_same() const { return is_same_; }

 private:
  IntList values_;
  bool is_same_ = false;
};

// One value, or one for each dimension.
struct ConvGeometry {
  IntList stride = 1;
  ConvPadding padding = 0;
  IntList dilation = 1;
  int64_t groups = 1;
  IntList output_padding = 0;  // of transposed convolutions
};

}  // namespace qnative

namespace qnative::ops {

// torch.nn.functional.conv1d, conv2d and conv3d of real numbers, then the activation. Arithmetic as
// in linear; the padding is x_zero_point, which is the real zero.
//
// x: 8-bit [N, C, (D, (H,)) W] or without N, any strides (channels_last is fastest); w: from
// conv<d>d_pack, of shape {O, C / groups, (KD, (KH,)) KW}, where all but O make up at most 65793
// products; activation: bounds. y: 8-bit or float32, channels_last; that of conv1d has the strides
// {O * W, 1, O}, those of channels_last for H = 1.
QNATIVE_API QTensor conv1d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                           const OutputSpec& y);
QNATIVE_API QTensor conv2d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                           const OutputSpec& y);
QNATIVE_API QTensor conv3d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                           const OutputSpec& y);

// torch.nn.functional.conv_transpose1d, 2d and 3d of real numbers, then the activation. As above
// but for the shape of w: {C, O / groups, (KD, (KH,)) KW}, where C / groups and the kernel make up
// at most 65793 products. The scale of w is [O] also with groups, group by group. padding: one
// value or one for each dimension.
QNATIVE_API QTensor conv_transpose1d(const QTensor& x, const PackedWeight& w,
                                     const ConvGeometry& geometry, const OutputSpec& y);
QNATIVE_API QTensor conv_transpose2d(const QTensor& x, const PackedWeight& w,
                                     const ConvGeometry& geometry, const OutputSpec& y);
QNATIVE_API QTensor conv_transpose3d(const QTensor& x, const PackedWeight& w,
                                     const ConvGeometry& geometry, const OutputSpec& y);

// int8 of the shape of w -> the layout of the kernels, int8 of one dimension, the same bytes on
// every machine. It depends on nothing but the weight and groups.
QNATIVE_API at::Tensor conv1d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv2d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv3d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose1d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose2d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose3d_pack(const at::Tensor& weight, int64_t groups);

// The inverse: int8 of `shape`, contiguous.
QNATIVE_API at::Tensor conv1d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv2d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv3d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv_transpose1d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                               int64_t groups);
QNATIVE_API at::Tensor conv_transpose2d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                               int64_t groups);
QNATIVE_API at::Tensor conv_transpose3d_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                               int64_t groups);

// ---- convolutions from float to float ---------------------------------------------------------

// The convolutions above with x quantized on the way, each of its N images with a scale and a zero
// point of its own, and nothing rounded after the sums: as linear_dynamic, but without outliers.
// x: float32, shapes and strides as above; w: from <op>_dynamic_pack, or int8 from <op>_pack;
// activation: any, but bounds alone for depthwise convolutions (groups > 1 that have one input
// channel each). y: float32, strides as above. For each image, with low and high the least and
// greatest of its values and 0:
//   scale      = max(float((high - low) / 255), 2^-126)
//   zero_point = min(rne(-low * float(1 / scale)), 255)
//   q          = clamp(rne(x * float(1 / scale)) + zero_point, 0, 255)
//   y          = act(fma(float(sum (q - zero_point) * w), float(scale * w_scale[n]), bias[n]))
// An image that holds NaN or an infinity gives NaN; other images do not change.
QNATIVE_API at::Tensor conv1d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                      const ConvGeometry& geometry,
                                      const Activation& activation = {});
QNATIVE_API at::Tensor conv2d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                      const ConvGeometry& geometry,
                                      const Activation& activation = {});
QNATIVE_API at::Tensor conv3d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                      const ConvGeometry& geometry,
                                      const Activation& activation = {});
QNATIVE_API at::Tensor conv_transpose1d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                                const ConvGeometry& geometry,
                                                const Activation& activation = {});
QNATIVE_API at::Tensor conv_transpose2d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                                const ConvGeometry& geometry,
                                                const Activation& activation = {});
QNATIVE_API at::Tensor conv_transpose3d_dynamic(const at::Tensor& x, const PackedWeight& w,
                                                const ConvGeometry& geometry,
                                                const Activation& activation = {});

// From float32 of the shape of w, finite; symmetric, with a scale for each output channel n:
//   scale[n] = max(max |w[n]| / 127, 2^-126), 1 for a channel of zeros
//   q[n]     = rne(w[n] / scale[n])
// The result has no bias.
QNATIVE_API PackedWeight conv1d_dynamic_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API PackedWeight conv2d_dynamic_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API PackedWeight conv3d_dynamic_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API PackedWeight conv_transpose1d_dynamic_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API PackedWeight conv_transpose2d_dynamic_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API PackedWeight conv_transpose3d_dynamic_pack(const at::Tensor& weight, int64_t groups);

}  // namespace qnative::ops
