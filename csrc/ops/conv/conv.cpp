#include "qnative/ops/conv.h"

#include <torch/library.h>

#include "conv/depthwise.h"
#include "conv/image.h"

// conv1d, conv2d and conv3d.
namespace qnative::ops {
namespace {

// What the schemas say, in order; padding comes as numbers or by name.
using at::IntArrayRef;
using at::Tensor;
using c10::SymIntArrayRef;
using Bias = std::optional<Tensor>;
using Doubles = at::ArrayRef<double>;
using Text = std::string_view;

Window make_window(const ConvArgs& args, const std::array<int64_t, 5>& y) {
  // A stride that is never taken could be anything, up to overflowing.
  const auto stride = [&](size_t i) { return y[2 + i] > 1 ? args.stride[i] : 1; };
  return {.kernel_d = args.weight.kernel[0],
          .kernel_h = args.weight.kernel[1],
          .kernel_w = args.weight.kernel[2],
          .stride_d = stride(0),
          .stride_h = stride(1),
          .stride_w = stride(2),
          .dilation_d = args.dilation[0],
          .dilation_h = args.dilation[1],
          .dilation_w = args.dilation[2],
          .pad_front = args.padding_begin[0],
          .pad_top = args.padding_begin[1],
          .pad_left = args.padding_begin[2],
          .out_d = y[2],
          .out_h = y[3],
          .out_w = y[4]};
}

Tensor run_conv(const ConvOperands& in, const ConvArgs& args, const OutputSpec& output) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const std::array<int64_t, 5> sizes = check_conv<int64_t>(in, args, at::kCPU);
  const Window window = make_window(args, sizes);
  check_padded_size(args, window, args.weight.group_channels * args.weight.groups);
  const WeightLayout layout = args.weight.layout();
  Scratch scratch(ChannelParams::bytes(layout));
  const int32_t zero_point = unsigned_zero_point(in.x_zero_point, in.x.scalar_type());
  const ChannelParams params =
      make_channel_params(args.kind.name, in.x_scale, zero_point, in.weight, layout,
                          in.weight_scale, in.bias, output, scratch);
  const Tensor y = empty_image(sizes, args, output.dtype);
  if (y.numel() > 0) {
    gemm::Args product = make_product(in.weight, layout, params, output, y);
    product.has_zeros = args.weight.merged_groups() > 1;
    Tensor x = to_image(in.x, args.kind.dims);
    if (args.weight.is_depthwise()) {
      x = for_depthwise(x, args.weight.out_channels);
      run_depthwise(make_source(x, in.x_zero_point), window, make_output_strides(y), product);
    } else {
      x = with_dense_channels(x);
      run_image({.x = make_source(x, in.x_zero_point),
                 .window = window,
                 .groups = layout.groups,
                 .group_weight = layout.group_bytes(),
                 .group_params = layout.padded_n(),
                 .segment_taps = args.weight.kernel[2],
                 .product = product});
    }
  }
  return from_image(y, args.kind.dims, has_batch(in.x, args.kind.dims));
}

template <const ConvKind& kKind, class Padding>
Tensor conv(const Tensor& x, double x_scale, int64_t x_zero_point, const Tensor& weight,
            const Tensor& weight_scale, const Bias& bias, IntArrayRef weight_shape,
            IntArrayRef stride, Padding padding, IntArrayRef dilation, int64_t groups,
            double y_scale, int64_t y_zero_point, at::ScalarType y_dtype, Text activation,
            Doubles activation_args) {
  return run_conv({x, x_scale, x_zero_point, weight, weight_scale, bias},
                  conv_args(kKind, weight_shape, stride, padding, dilation, groups),
                  make_output(kKind.name, y_scale, y_zero_point, y_dtype, activation,
                              activation_args, FloatOutput::kAllowed));
}

IntArrayRef numbers(const at::DimVector& padding) { return padding; }
Text numbers(Text padding) { return padding; }
at::DimVector concrete_padding(SymIntArrayRef padding) { return concrete(padding); }
Text concrete_padding(Text padding) { return padding; }

template <const ConvKind& kKind, class Padding>
Tensor meta(const Tensor& x, double x_scale, int64_t x_zero_point, const Tensor& weight,
            const Tensor& weight_scale, const Bias& bias, SymIntArrayRef weight_shape,
            SymIntArrayRef stride, Padding padding, SymIntArrayRef dilation, c10::SymInt groups,
            double y_scale, int64_t y_zero_point, at::ScalarType y_dtype, Text activation,
            Doubles activation_args) {
  make_output(kKind.name, y_scale, y_zero_point, y_dtype, activation, activation_args,
              FloatOutput::kAllowed);
  const auto concrete_pads = concrete_padding(padding);
  const ConvArgs args =
      conv_args(kKind, concrete(weight_shape), concrete(stride), numbers(concrete_pads),
                concrete(dilation), groups.guard_int(__FILE__, __LINE__));
  return conv_meta({x, x_scale, x_zero_point, weight, weight_scale, bias}, args, y_dtype);
}

template <const ConvKind& kKind>
void register_cpu(torch::Library& m) {
  const std::string name = kKind.name;
  m.impl(name.c_str(), TORCH_FN((conv<kKind, IntArrayRef>)));
  m.impl((name + ".padding").c_str(), TORCH_FN((conv<kKind, Text>)));
}

template <const ConvKind& kKind>
void register_meta(torch::Library& m) {
  const std::string name = kKind.name;
  m.impl(name.c_str(), TORCH_FN((meta<kKind, SymIntArrayRef>)));
  m.impl((name + ".padding").c_str(), TORCH_FN((meta<kKind, Text>)));
}

}  // namespace

#define QNATIVE_CONV(op, kind, Padding)                                                            \
  Tensor op(const Tensor& x, double x_scale, int64_t x_zero_point, const Tensor& weight,           \
            const Tensor& weight_scale, const Bias& bias, IntArrayRef weight_shape,                \
            IntArrayRef stride, Padding padding, IntArrayRef dilation, int64_t groups,             \
            double y_scale, int64_t y_zero_point, at::ScalarType y_dtype, Text activation,         \
            Doubles activation_args) {                                                             \
    return conv<kind, Padding>(x, x_scale, x_zero_point, weight, weight_scale, bias, weight_shape, \
                               stride, padding, dilation, groups, y_scale, y_zero_point, y_dtype,  \
                               activation, activation_args);                                       \
  }
QNATIVE_CONV(conv1d, kConv1d, IntArrayRef)
QNATIVE_CONV(conv1d, kConv1d, Text)
QNATIVE_CONV(conv2d, kConv2d, IntArrayRef)
QNATIVE_CONV(conv2d, kConv2d, Text)
QNATIVE_CONV(conv3d, kConv3d, IntArrayRef)
QNATIVE_CONV(conv3d, kConv3d, Text)
#undef QNATIVE_CONV

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  register_cpu<kConv1d>(m);
  register_cpu<kConv2d>(m);
  register_cpu<kConv3d>(m);
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  register_meta<kConv1d>(m);
  register_meta<kConv2d>(m);
  register_meta<kConv3d>(m);
}

}  // namespace qnative::ops
