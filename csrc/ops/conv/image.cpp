#include "conv/image.h"

#include <utility>

#include "common/empty.h"
#include "conv/depthwise.h"

namespace qnative::ops {
namespace {

// Up to here the strips of run_windows() read other layouts as fast as they would be converted.
constexpr int64_t kFewChannels = 4;

at::MemoryFormat format_of(int64_t rank) {
  return rank == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

// Depth exists for three dimensions only.
template <class Int>
at::ArrayRef<Int> drop_depth(const std::array<Int, 5>& sizes, std::array<Int, 4>& flat,
                             const ConvArgs& args) {
  if (args.kind.dims == 3) return sizes;
  flat = {sizes[0], sizes[1], sizes[3], sizes[4]};
  return flat;
}

void exchange_axes(Convolution& c) {
  if (c.x.height == 1 && c.window.kernel_h == 1 && c.window.out_h == 1 && c.window.pad_top == 0) {
    std::swap(c.x.height, c.x.width);
    c.x.row_stride = c.x.pixel_stride;
    std::swap(c.window.kernel_h, c.window.kernel_w);
    std::swap(c.window.stride_h, c.window.stride_w);
    std::swap(c.window.dilation_h, c.window.dilation_w);
    std::swap(c.window.pad_top, c.window.pad_left);
    std::swap(c.window.out_h, c.window.out_w);
    if (c.y_strides) std::swap(c.y_strides->row, c.y_strides->pixel);
  }
}

}  // namespace

at::Tensor empty_output(const ConvPlan<int64_t>& plan) {
  std::array<int64_t, 4> flat;
  const at::IntArrayRef shape = drop_depth(plan.y_sizes, flat, plan.args);
  return empty(shape, plan.output.dtype, format_of(static_cast<int64_t>(shape.size())));
}

at::Tensor meta_output(const ConvPlan<c10::SymInt>& plan, const at::Tensor& x) {
  const int64_t dims = plan.args.kind.dims;
  std::array<c10::SymInt, 4> flat;
  const c10::SymIntArrayRef shape = drop_depth(plan.y_sizes, flat, plan.args);
  const at::MemoryFormat format = format_of(static_cast<int64_t>(shape.size()));
  const at::Tensor image =
      at::empty_symint(shape, x.options().dtype(plan.output.dtype).memory_format(format));
  return from_image(image, dims, has_batch(x, dims));
}

QTensor conv_meta(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
                  const ConvGeometry& geometry, const OutputSpec& y) {
  const auto plan = plan_conv<c10::SymInt>(kind, x, w, geometry, y, at::kMeta);
  return {meta_output(plan, x.data), output_qparams(y)};
}

// Dimensions of size 1 get the stride of a dense channels_last tensor, theirs may be anything.
Source make_source(const at::Tensor& x, int64_t zero_point) {
  const at::IntArrayRef sizes = x.sizes(), strides = x.strides();
  const size_t rank = sizes.size();
  const auto stride = [&](size_t dim, int64_t dense) {
    return sizes[dim] == 1 ? dense : strides[dim];
  };
  Source source{};
  source.data = static_cast<const uint8_t*>(x.const_data_ptr());
  source.images = sizes[0];
  source.channels = sizes[1];
  source.depth = rank == 5 ? sizes[2] : 1;
  source.height = sizes[rank - 2];
  source.width = sizes[rank - 1];
  source.channel_stride = stride(1, 1);
  source.pixel_stride = stride(rank - 1, source.channels);
  source.row_stride = stride(rank - 2, source.width * source.pixel_stride);
  const int64_t slice = source.height * source.row_stride;
  source.slice_stride = rank == 5 ? stride(2, slice) : slice;
  source.image_stride = stride(0, source.depth * source.slice_stride);
  source.flip = flip_of(x.scalar_type());
  source.pad_value = static_cast<uint8_t>(unsigned_zero_point(zero_point, x.scalar_type()));
  return source;
}

OutputStrides make_output_strides(const at::Tensor& y) {
  const at::IntArrayRef sizes = y.sizes();
  const size_t rank = sizes.size();
  const int64_t pixel = sizes[1], row = sizes[rank - 1] * pixel;
  const int64_t slice = sizes[rank - 2] * row;
  return {
      .image = rank == 5 ? sizes[2] * slice : slice, .slice = slice, .row = row, .pixel = pixel};
}

at::Tensor with_dense_channels(const at::Tensor& x) {
  const int64_t channels = x.sizes()[1];
  const bool dense = channels == 1 || x.strides()[1] == 1;
  return dense || channels <= kFewChannels ? x : x.contiguous(format_of(x.dim()));
}

at::Tensor for_depthwise(const at::Tensor& x, int64_t channels) {
  const int64_t repeats = channels / x.sizes()[1];
  return repeats > 1 ? repeat_channels(x, repeats) : x.contiguous(format_of(x.dim()));
}

void run_image(Convolution c) {
  exchange_axes(c);
  run_windows(c);
}

std::vector<int64_t> image_tables(Convolution c) {
  exchange_axes(c);
  return window_tables(c);
}

}  // namespace qnative::ops
