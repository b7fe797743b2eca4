#pragma once

#include <ATen/ATen.h>

#include <initializer_list>
#include <optional>
#include <string_view>

#include "qnative/export.h"
#include "qnative/types.h"

// Convolutions; qnative/ops.h has the words and rules.
//
//   const PackedWeight w{ops::conv2d_pack(weight, groups), scale, bias, weight.sizes()};   // once
//   const ConvGeometry geometry{.stride = {2}, .padding = {1}, .groups = groups};
//   const QTensor y = ops::conv2d(x, w, geometry, {.qparams = {0.5, 128}});                // for
//   each x
//
// Safe to call from any number of threads at the same time, also with one weight.
namespace qnative {

// Real zeros around x: one value or one for each dimension, or two: (front, back, (top, bottom,))
// left, right. same(): y has the size of x; stride 1; of an odd total the larger part is at the
// end, as in torch.
class ConvPadding {
 public:
  ConvPadding(std::initializer_list<int64_t> values) : values_(values) {}
  ConvPadding(at::IntArrayRef values) : values_(values) {}
  static ConvPadding valid() { return {0}; }
  static ConvPadding same() {
    ConvPadding padding{0};
    padding.is_same_ = true;
    return padding;
  }

  at::IntArrayRef values() const { return values_; }
  bool is_same() const { return is_same_; }

 private:
  at::DimVector values_;
  bool is_same_ = false;
};

// One value, or one for each dimension.
struct ConvGeometry {
  at::DimVector stride = {1};
  ConvPadding padding = {0};
  at::DimVector dilation = {1};
  int64_t groups = 1;
  at::DimVector output_padding = {0};  // of transposed convolutions
};

}  // namespace qnative

namespace qnative::ops {

// torch.nn.functional.conv1d, conv2d, conv3d of real numbers, then the activation. Arithmetic as in
// linear; the padding is x_zero_point, which is the real zero.
//
// x: 8-bit [N, C, (D, (H,)) W] or without N, any strides (channels_last is fastest); weight: from
// conv<d>d_pack; weight_scale: float32 [O], positive; bias: float32 [O]; weight_shape: {O, C /
// groups, (KD, (KH,)) KW}, of which all but O make up at most 65793 products; stride, dilation: one
// value or one for each dimension; padding too, or two: (front, back, (top, bottom,)) left, right.
// y: channels_last; of conv1d the strides {O * W, 1, O}, those of channels_last for H = 1.
QNATIVE_API at::Tensor conv1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, at::IntArrayRef padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, at::IntArrayRef padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, at::IntArrayRef padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

// padding: "valid", or "same" (stride 1; of an odd total the larger part is at the end, as in
// torch).
QNATIVE_API at::Tensor conv1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, std::string_view padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, std::string_view padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              at::IntArrayRef stride, std::string_view padding,
                              at::IntArrayRef dilation, int64_t groups, double y_scale,
                              int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

// torch.nn.functional.conv_transpose1d, 2d and 3d of real numbers, then the activation. As above
// but for weight_shape: {C, O / groups, (KD, (KH,)) KW}, of which C / groups and the kernel make up
// at most 65793 products. padding, output_padding: one value or one for each dimension.
// weight_scale: float32 [O] also with groups, group by group.
QNATIVE_API at::Tensor conv_transpose1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                        const at::Tensor& weight, const at::Tensor& weight_scale,
                                        const std::optional<at::Tensor>& bias,
                                        at::IntArrayRef weight_shape, at::IntArrayRef stride,
                                        at::IntArrayRef padding, at::IntArrayRef output_padding,
                                        at::IntArrayRef dilation, int64_t groups, double y_scale,
                                        int64_t y_zero_point, at::ScalarType y_dtype,
                                        std::string_view activation = "none",
                                        at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv_transpose2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                        const at::Tensor& weight, const at::Tensor& weight_scale,
                                        const std::optional<at::Tensor>& bias,
                                        at::IntArrayRef weight_shape, at::IntArrayRef stride,
                                        at::IntArrayRef padding, at::IntArrayRef output_padding,
                                        at::IntArrayRef dilation, int64_t groups, double y_scale,
                                        int64_t y_zero_point, at::ScalarType y_dtype,
                                        std::string_view activation = "none",
                                        at::ArrayRef<double> activation_args = {});

QNATIVE_API at::Tensor conv_transpose3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                        const at::Tensor& weight, const at::Tensor& weight_scale,
                                        const std::optional<at::Tensor>& bias,
                                        at::IntArrayRef weight_shape, at::IntArrayRef stride,
                                        at::IntArrayRef padding, at::IntArrayRef output_padding,
                                        at::IntArrayRef dilation, int64_t groups, double y_scale,
                                        int64_t y_zero_point, at::ScalarType y_dtype,
                                        std::string_view activation = "none",
                                        at::ArrayRef<double> activation_args = {});

// int8 weight_shape -> the layout of the kernels, int8 of one dimension, the same bytes on every
// machine. It depends on nothing but the weight and groups.
QNATIVE_API at::Tensor conv1d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv2d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv3d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose1d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose2d_pack(const at::Tensor& weight, int64_t groups);
QNATIVE_API at::Tensor conv_transpose3d_pack(const at::Tensor& weight, int64_t groups);

// The inverse: int8 weight_shape, contiguous.
QNATIVE_API at::Tensor conv1d_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv2d_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv3d_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape,
                                     int64_t groups);
QNATIVE_API at::Tensor conv_transpose1d_unpack(const at::Tensor& weight,
                                               at::IntArrayRef weight_shape, int64_t groups);
QNATIVE_API at::Tensor conv_transpose2d_unpack(const at::Tensor& weight,
                                               at::IntArrayRef weight_shape, int64_t groups);
QNATIVE_API at::Tensor conv_transpose3d_unpack(const at::Tensor& weight,
                                               at::IntArrayRef weight_shape, int64_t groups);

}  // namespace qnative::ops
