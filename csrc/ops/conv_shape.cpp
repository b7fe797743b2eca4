#include "conv_shape.h"

namespace qnative::ops {
namespace {

template <class Padding>
ConvArgs make_args(const char* op, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   at::IntArrayRef dilation, int64_t groups, const Padding& padding) {
  ConvArgs args{.weight = conv_weight(op, weight_shape, groups),
                .stride = expand_pair(op, "stride", stride, 1),
                .dilation = expand_pair(op, "dilation", dilation, 1),
                .padding = {}};
  args.padding = padding(args);
  return args;
}

// y = (x + padding - extent) / stride + 1
template <class Int>
Int out_size(const char* op, const char* name, const Int& x, int64_t padding, int64_t extent,
             int64_t stride) {
  TORCH_CHECK(x + padding >= extent, "qnative::", op, ": the dilated kernel has ", name, " ",
              extent, ", but padded x only ", x + padding);
  return (x + padding - extent) / stride + 1;
}

}  // namespace

ConvArgs conv_args(const char* op, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups) {
  return make_args(op, weight_shape, stride, dilation, groups, [&](const ConvArgs&) {
    TORCH_CHECK(padding.size() == 1 || padding.size() == 2 || padding.size() == 4, "qnative::", op,
                ": padding must have 1, 2 or 4 values, got ", padding);
    const bool four = padding.size() == 4;
    const Pair<int64_t> first = expand_pair(op, "padding", four ? padding.slice(0, 2) : padding, 0);
    if (!four) return ConvPadding{first.h, first.h, first.w, first.w};
    const Pair<int64_t> second = expand_pair(op, "padding", padding.slice(2), 0);
    return ConvPadding{first.h, first.w, second.h, second.w};
  });
}

ConvArgs conv_args(const char* op, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   std::string_view padding, at::IntArrayRef dilation, int64_t groups) {
  return make_args(op, weight_shape, stride, dilation, groups, [&](const ConvArgs& args) {
    TORCH_CHECK(padding == "same" || padding == "valid", "qnative::", op,
                ": padding must be numbers, 'same' or 'valid', got '", padding, "'");
    if (padding == "valid") return ConvPadding{};
    TORCH_CHECK(args.stride.h == 1 && args.stride.w == 1, "qnative::", op,
                ": padding 'same' needs stride 1, got ", stride);
    const int64_t h = args.extent_h() - 1, w = args.extent_w() - 1;
    return ConvPadding{h / 2, h - h / 2, w / 2, w - w / 2};
  });
}

template <class Int>
std::array<Int, 4> conv_sizes(const char* op, at::ArrayRef<Int> x_sizes, const ConvArgs& args) {
  check_image(op, x_sizes);
  const at::ArrayRef<Int> image = x_sizes.slice(x_sizes.size() - 3);
  const ConvWeight& weight = args.weight;
  TORCH_CHECK(image[0] == weight.group_channels * weight.groups, "qnative::", op, ": x must have ",
              weight.group_channels * weight.groups, " channels to fit weight_shape and groups ",
              weight.groups, ", got ", x_sizes);
  const ConvPadding& pad = args.padding;
  const int64_t pad_h = pad.top + pad.bottom, pad_w = pad.left + pad.right;
  const Int out_h = out_size(op, "height", image[1], pad_h, args.extent_h(), args.stride.h);
  const Int out_w = out_size(op, "width", image[2], pad_w, args.extent_w(), args.stride.w);
  return {x_sizes.size() == 4 ? x_sizes[0] : Int(1), Int(weight.out_channels), out_h, out_w};
}

template std::array<int64_t, 4> conv_sizes(const char*, at::IntArrayRef, const ConvArgs&);
template std::array<c10::SymInt, 4> conv_sizes(const char*, c10::SymIntArrayRef, const ConvArgs&);

}  // namespace qnative::ops
