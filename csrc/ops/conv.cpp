#include <torch/library.h>

#include <cstring>

#include "conv_shape.h"
#include "dispatch.h"
#include "dwconv/dwconv.h"
#include "epilogue.h"
#include "implicit_gemm.h"
#include "output.h"
#include "parallel.h"
#include "qnative/ops.h"

namespace qnative::ops {
namespace {

constexpr int64_t kDepthwiseGrain = 1 << 18;  // multiply-adds a task
// Up to here the strips of run_convolution() read other layouts as fast as they would be converted.
constexpr int64_t kFewChannels = 4;

// Tensors and numbers of the schema that do not depend on the form of padding.
struct Operands {
  const at::Tensor& x;
  double x_scale;
  int64_t x_zero_point;
  const at::Tensor& weight;
  const at::Tensor& weight_scale;
  const std::optional<at::Tensor>& bias;
};

template <class Int>
std::array<Int, 4> check_conv2d(const Operands& in, const ConvArgs& args, at::DeviceType device) {
  check_8bit("conv2d", "x", in.x, device);
  check_qparams("conv2d", "x_", in.x_scale, in.x_zero_point, in.x.scalar_type());
  const std::array<Int, 4> sizes = conv_sizes("conv2d", at::symint::sizes<Int>(in.x), args);
  check_packed("conv2d", in.weight, args.weight.layout(), device);
  check_channels("conv2d", in.weight_scale, in.bias, Int(args.weight.out_channels), device);
  return sizes;
}

// Offsets into a padded image are computed in 64 bits, and in 32 bits inside of a row.
void check_padded_size(const at::Tensor& x, const ConvArgs& args) {
  const double channels = static_cast<double>(x.size(1));
  const double columns = static_cast<double>(x.size(3) + args.padding.left + args.padding.right);
  const double rows = static_cast<double>(x.size(2) + args.padding.top + args.padding.bottom);
  TORCH_CHECK(columns * channels < 0x1p31 && rows * columns * channels < 0x1p47,
              "qnative::conv2d: padded x must have less than 2^31 bytes a row and 2^47 bytes an "
              "image, got ",
              rows, " rows of ", columns, " pixels of ", channels, " channels");
}

Window make_window(const ConvArgs& args, const at::Tensor& y) {
  const int64_t out_h = y.size(2), out_w = y.size(3);
  // A stride that is never taken could be anything, up to overflowing.
  return {.kernel_h = args.weight.kernel_h,
          .kernel_w = args.weight.kernel_w,
          .stride_h = out_h > 1 ? args.stride.h : 1,
          .stride_w = out_w > 1 ? args.stride.w : 1,
          .dilation_h = args.dilation.h,
          .dilation_w = args.dilation.w,
          .pad_top = args.padding.top,
          .pad_left = args.padding.left,
          .out_h = out_h,
          .out_w = out_w};
}

// Dimensions of size 1 get the stride of a dense channels_last tensor, theirs may be anything.
Source make_source(const at::Tensor& x, int64_t x_zero_point) {
  const auto stride = [&](int64_t dim, int64_t dense) {
    return x.size(dim) == 1 ? dense : x.stride(dim);
  };
  Source source{};
  source.data = static_cast<const uint8_t*>(x.const_data_ptr());
  source.images = x.size(0);
  source.channels = x.size(1);
  source.height = x.size(2);
  source.width = x.size(3);
  source.channel_stride = stride(1, 1);
  source.pixel_stride = stride(3, source.channels);
  source.row_stride = stride(2, source.width * source.pixel_stride);
  source.image_stride = stride(0, source.height * source.row_stride);
  source.flip = flip_of(x.scalar_type());
  source.pad_value = static_cast<uint8_t>(unsigned_zero_point(x_zero_point, x.scalar_type()));
  return source;
}

// [N, H, W, C * repeats] with every channel repeated.
at::Tensor repeat_channels(const at::Tensor& x, int64_t repeats) {
  const at::Tensor nhwc = x.permute({0, 2, 3, 1}).contiguous();
  at::Tensor repeated =
      empty({x.size(0), x.size(2), x.size(3), x.size(1) * repeats}, x.scalar_type());
  const uint8_t* from = static_cast<const uint8_t*>(nhwc.const_data_ptr());
  uint8_t* to = static_cast<uint8_t*>(repeated.mutable_data_ptr());
  for (int64_t i = 0; i < nhwc.numel(); ++i) std::memset(to + i * repeats, from[i], repeats);
  return repeated;
}

void run_depthwise(const at::Tensor& x, const Source& source, const Window& window,
                   const gemm::Args& product) {
  static auto& run = select(dwconv::kernels());
  const int64_t channels = product.n, repeats = channels / source.channels;
  const at::Tensor dense =
      repeats > 1 ? repeat_channels(x, repeats) : x.contiguous(at::MemoryFormat::ChannelsLast);
  dwconv::Args args{.x = static_cast<const uint8_t*>(dense.const_data_ptr()),
                    .height = source.height,
                    .width = source.width,
                    .channels = channels,
                    .pad_value = source.pad_value,
                    .x_flip = source.flip,
                    .kernel_h = window.kernel_h,
                    .kernel_w = window.kernel_w,
                    .stride_h = window.stride_h,
                    .stride_w = window.stride_w,
                    .dilation_h = window.dilation_h,
                    .dilation_w = window.dilation_w,
                    .pad_top = window.pad_top,
                    .pad_left = window.pad_left,
                    .out_h = window.out_h,
                    .out_w = window.out_w,
                    .weight = product.weight,
                    .start = product.start,
                    .multiplier = product.multiplier,
                    .bias = product.bias,
                    .y = nullptr,
                    .float_output = product.float_output,
                    .requantize = product.requantize,
                    .float_lo = product.float_lo,
                    .float_hi = product.float_hi};
  const int64_t rows = source.images * window.out_h;
  const int64_t row_work = window.out_w * channels * window.kernel_h * window.kernel_w;
  const int64_t tasks = std::min(rows, count_tasks(rows * row_work, kDepthwiseGrain));
  const int64_t x_bytes = source.height * source.width * channels;
  const int64_t y_bytes =
      window.out_h * window.out_w * channels * (product.float_output ? sizeof(float) : 1);
  const int64_t task_bytes = Scratch::bytes<std::byte>(dwconv::scratch_size(args));
  Scratch scratch(tasks * task_bytes);
  std::byte* const memory = scratch.take<std::byte>(tasks * task_bytes);
  run_tasks(tasks, [&](int64_t task) {
    const Part part = part_of(rows, tasks, task);
    for (int64_t row = part.begin; row < part.end;) {
      const int64_t image = row / window.out_h;
      const int64_t first_row = image * window.out_h;
      const int64_t end = std::min(first_row + window.out_h, part.end);
      dwconv::Args of_image = args;
      of_image.x += image * x_bytes;
      of_image.y = static_cast<std::byte*>(product.y) + image * y_bytes;
      run(of_image, row - first_row, end - first_row, memory + task * task_bytes);
      row = end;
    }
  });
}

at::Tensor run_conv2d(const Operands& in, const ConvArgs& args, const Output& output) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const std::array<int64_t, 4> sizes = check_conv2d<int64_t>(in, args, at::kCPU);
  const bool has_batch = in.x.dim() == 4;
  at::Tensor x = has_batch ? in.x : in.x.unsqueeze(0);
  check_padded_size(x, args);
  const WeightLayout layout = args.weight.layout();
  Scratch scratch(ChannelParams::bytes(layout));
  const int32_t zero_point = unsigned_zero_point(in.x_zero_point, x.scalar_type());
  const ChannelParams params =
      make_channel_params("conv2d", in.x_scale, zero_point, in.weight, layout, in.weight_scale,
                          in.bias, output, scratch);
  const at::Tensor y = empty(sizes, output.dtype, at::MemoryFormat::ChannelsLast);
  if (y.numel() > 0) {
    const gemm::Args product = make_product(in.weight, layout, params, output, y);
    const Window window = make_window(args, y);
    Source source = make_source(x, in.x_zero_point);
    if (args.weight.is_depthwise()) {
      run_depthwise(x, source, window, product);
    } else {
      if (source.channel_stride != 1 && source.channels > kFewChannels) {
        x = x.contiguous(at::MemoryFormat::ChannelsLast);
        source = make_source(x, in.x_zero_point);
      }
      run_convolution({.x = source,
                       .window = window,
                       .groups = layout.groups,
                       .group_weight = layout.group_bytes(),
                       .group_params = layout.padded_n(),
                       .product = product});
    }
  }
  return has_batch ? y : y.squeeze(0);
}

at::Tensor meta_conv2d(const Operands& in, const ConvArgs& args, at::ScalarType y_dtype) {
  const std::array<c10::SymInt, 4> sizes = check_conv2d<c10::SymInt>(in, args, at::kMeta);
  const at::Tensor y = at::empty_symint(
      sizes, in.x.options().dtype(y_dtype).memory_format(at::MemoryFormat::ChannelsLast));
  return in.x.dim() == 4 ? y : y.squeeze(0);
}

at::Tensor conv2d_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                       const at::Tensor& weight, const at::Tensor& weight_scale,
                       const std::optional<at::Tensor>& bias, c10::SymIntArrayRef weight_shape,
                       c10::SymIntArrayRef stride, c10::SymIntArrayRef padding,
                       c10::SymIntArrayRef dilation, c10::SymInt groups, double y_scale,
                       int64_t y_zero_point, at::ScalarType y_dtype, std::string_view activation,
                       at::ArrayRef<double> activation_args) {
  make_output("conv2d", y_scale, y_zero_point, y_dtype, activation, activation_args,
              FloatOutput::kAllowed);
  const ConvArgs args =
      conv_args("conv2d", concrete(weight_shape), concrete(stride), concrete(padding),
                concrete(dilation), groups.guard_int(__FILE__, __LINE__));
  return meta_conv2d({x, x_scale, x_zero_point, weight, weight_scale, bias}, args, y_dtype);
}

at::Tensor conv2d_padding_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               const at::Tensor& weight, const at::Tensor& weight_scale,
                               const std::optional<at::Tensor>& bias,
                               c10::SymIntArrayRef weight_shape, c10::SymIntArrayRef stride,
                               std::string_view padding, c10::SymIntArrayRef dilation,
                               c10::SymInt groups, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype, std::string_view activation,
                               at::ArrayRef<double> activation_args) {
  make_output("conv2d", y_scale, y_zero_point, y_dtype, activation, activation_args,
              FloatOutput::kAllowed);
  const ConvArgs args = conv_args("conv2d", concrete(weight_shape), concrete(stride), padding,
                                  concrete(dilation), groups.guard_int(__FILE__, __LINE__));
  return meta_conv2d({x, x_scale, x_zero_point, weight, weight_scale, bias}, args, y_dtype);
}

}  // namespace

at::Tensor conv2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                  const at::Tensor& weight, const at::Tensor& weight_scale,
                  const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                  at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                  int64_t groups, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                  std::string_view activation, at::ArrayRef<double> activation_args) {
  return run_conv2d({x, x_scale, x_zero_point, weight, weight_scale, bias},
                    conv_args("conv2d", weight_shape, stride, padding, dilation, groups),
                    make_output("conv2d", y_scale, y_zero_point, y_dtype, activation,
                                activation_args, FloatOutput::kAllowed));
}

at::Tensor conv2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                  const at::Tensor& weight, const at::Tensor& weight_scale,
                  const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                  at::IntArrayRef stride, std::string_view padding, at::IntArrayRef dilation,
                  int64_t groups, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                  std::string_view activation, at::ArrayRef<double> activation_args) {
  return run_conv2d({x, x_scale, x_zero_point, weight, weight_scale, bias},
                    conv_args("conv2d", weight_shape, stride, padding, dilation, groups),
                    make_output("conv2d", y_scale, y_zero_point, y_dtype, activation,
                                activation_args, FloatOutput::kAllowed));
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  using at::IntArrayRef;
  using at::Tensor;
  using Doubles = at::ArrayRef<double>;
  using Text = std::string_view;
  using OptionalTensor = std::optional<Tensor>;
  using Conv = Tensor(const Tensor&, double, int64_t, const Tensor&, const Tensor&,
                      const OptionalTensor&, IntArrayRef, IntArrayRef, IntArrayRef, IntArrayRef,
                      int64_t, double, int64_t, at::ScalarType, Text, Doubles);
  using ConvPadded = Tensor(const Tensor&, double, int64_t, const Tensor&, const Tensor&,
                            const OptionalTensor&, IntArrayRef, IntArrayRef, Text, IntArrayRef,
                            int64_t, double, int64_t, at::ScalarType, Text, Doubles);
  m.impl("conv2d", TORCH_FN(static_cast<Conv&>(conv2d)));
  m.impl("conv2d.padding", TORCH_FN(static_cast<ConvPadded&>(conv2d)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("conv2d", TORCH_FN(conv2d_meta));
  m.impl("conv2d.padding", TORCH_FN(conv2d_padding_meta));
}

}  // namespace qnative::ops
