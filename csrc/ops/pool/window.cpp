#include "pool/window.h"

#include "common/parallel.h"

namespace qnative::ops {
namespace {

constexpr int64_t kWindowGrain = 64 * 1024;  // bytes read by a task

template <class Int>
Int pool_extent(const char* op, const Int& size, const Int& kernel, const Int& stride,
                const Int& padding, const Int& dilation, bool ceil_mode) {
  const Int extent = dilation * (kernel - 1) + 1;
  const Int padded = size + padding * 2;
  const Int room = padded - extent + (ceil_mode ? stride - 1 : Int(0));
  TORCH_CHECK(room >= 0, "qnative::", op, ": the window spans ", extent,
              " rows or columns, but padded x has only ", padded);
  const Int steps = room / stride;
  // The last window must begin inside of the image or of the padding before it.
  const bool outside = ceil_mode && steps * stride >= size + padding;
  return outside ? steps : steps + 1;
}

Axis window_axis(int64_t size, int64_t out_size, int64_t kernel, int64_t stride, int64_t padding,
                 int64_t dilation) {
  Axis axis{.spans = {}, .step = dilation};
  axis.spans.reserve(out_size);
  for (int64_t i = 0; i < out_size; ++i) {
    const int64_t first = i * stride - padding;
    const int64_t padded_end = std::min(first + kernel, size + padding);
    const int64_t skipped = first < 0 ? (-first + dilation - 1) / dilation : 0;
    const int64_t begin = first + skipped * dilation;
    const int64_t fitting = begin < size ? (size - begin + dilation - 1) / dilation : 0;
    const int64_t count = std::clamp<int64_t>(kernel - skipped, 0, fitting);
    axis.spans.push_back({begin, count, padded_end - first});
  }
  return axis;
}

Axis adaptive_axis(int64_t size, int64_t out_size) {
  Axis axis{.spans = {}, .step = 1};
  axis.spans.reserve(out_size);
  for (int64_t i = 0; i < out_size; ++i) {
    // i * size / out_size without its overflow.
    const int64_t begin = i / out_size * size + i % out_size * size / out_size;
    const int64_t end = 1 + ((i + 1) * size - 1) / out_size;
    axis.spans.push_back({begin, end - begin, end - begin});
  }
  return axis;
}

int64_t most_taps(const Axis& axis) {
  int64_t most = 0;
  for (const Span& span : axis.spans) most = std::max(most, span.count);
  return most;
}

// How many spans from `first` are as large as it and equally far apart.
int64_t count_alike(const std::vector<Span>& spans, size_t first) {
  const auto& head = spans[first];
  size_t end = first + 1;
  for (; end < spans.size(); ++end) {
    const bool alike =
        spans[end].count == head.count && spans[end].padded_count == head.padded_count &&
        spans[end].begin - spans[end - 1].begin == spans[first + 1].begin - head.begin;
    if (!alike) break;
  }
  return static_cast<int64_t>(end - first);
}

// The windows of one call, over dense channels_last pixels.
struct Windows {
  const Spatial<Axis>& axes;
  Spatial<int64_t> in, out;
  int64_t channels, pixel_bytes;
  const uint8_t* x;
  uint8_t* y;

  // All runs of row `index` of N * depth * height rows of outputs.
  template <class F>
  void for_row(int64_t index, const F& f) const {
    const auto& [deep, vertical, horizontal] = axes;
    const int64_t row_bytes = in[2] * pixel_bytes, plane_bytes = in[1] * row_bytes;
    const Span& plane = deep.spans[index / out[1] % out[0]];
    const Span& row = vertical.spans[index % out[1]];
    const int64_t image = index / out[1] / out[0];
    const uint8_t* x_row = x + (image * in[0] + plane.begin) * plane_bytes + row.begin * row_bytes;
    for (int64_t i = 0, alike = 0; i < out[2]; i += alike) {
      alike = count_alike(horizontal.spans, i);
      const Span& first = horizontal.spans[i];
      const int64_t distance = alike > 1 ? horizontal.spans[i + 1].begin - first.begin : 0;
      f({.x = x_row + first.begin * pixel_bytes,
         .y = y + (index * out[2] + i) * pixel_bytes,
         .plane_stride = deep.step * plane_bytes,
         .row_stride = vertical.step * row_bytes,
         .pixel_stride = horizontal.step * pixel_bytes,
         .planes = plane.count,
         .rows = row.count,
         .columns = first.count,
         .channels = channels,
         .outputs = alike,
         .output_stride = distance * pixel_bytes,
         .padded_taps = plane.padded_count * row.padded_count * first.padded_count});
    }
  }
};

}  // namespace

template <class Int>
Spatial<Int> expand_triple(const char* op, const char* name, at::ArrayRef<Int> values, int64_t rank,
                           int64_t least, int64_t filler) {
  const auto expanded = expand_values(op, name, values, rank, least);
  Spatial<Int> triple{Int(filler), Int(filler), Int(filler)};
  std::copy(expanded.begin(), expanded.end(), triple.end() - rank);
  return triple;
}

template <class Int>
PoolArgs<Int> pool_args(const char* op, int64_t rank, const BasicPoolWindow<Int>& window) {
  PoolArgs<Int> args{.rank = rank,
                     .kernel = expand_triple<Int>(op, "kernel_size", window.kernel_size, rank, 1),
                     .stride = {},
                     .padding = expand_triple<Int>(op, "padding", window.padding, rank, 0, 0),
                     .dilation = expand_triple<Int>(op, "dilation", window.dilation, rank, 1),
                     .ceil_mode = window.ceil_mode};
  args.stride = window.stride.empty() ? args.kernel
                                      : expand_triple<Int>(op, "stride", window.stride, rank, 1);
  for (int i = 0; i < 3; ++i) {
    TORCH_CHECK(args.padding[i] * 2 <= args.kernel[i], "qnative::", op,
                ": padding must be at most half of kernel_size, got ",
                at::ArrayRef<Int>(window.padding), " and ", at::ArrayRef<Int>(window.kernel_size));
  }
  return args;
}

template <class Int>
Spatial<Int> image_size(const at::Tensor& x, int64_t rank) {
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  Spatial<Int> size{Int(1), Int(1), Int(1)};
  std::copy(sizes.end() - rank, sizes.end(), size.end() - rank);
  return size;
}

template <class Int>
Spatial<Int> pool_size(const char* op, const at::Tensor& x, const PoolArgs<Int>& args) {
  check_image(op, at::symint::sizes<Int>(x), args.rank);
  Spatial<Int> size = image_size<Int>(x, args.rank);
  for (int i = 0; i < 3; ++i) {
    size[i] = pool_extent(op, size[i], args.kernel[i], args.stride[i], args.padding[i],
                          args.dilation[i], args.ceil_mode);
  }
  return size;
}

Spatial<Axis> window_axes(const Spatial<int64_t>& size, const Spatial<int64_t>& out_size,
                          const PoolArgs<int64_t>& args) {
  Spatial<Axis> axes;
  for (int i = 0; i < 3; ++i) {
    axes[i] = window_axis(size[i], out_size[i], args.kernel[i], args.stride[i], args.padding[i],
                          args.dilation[i]);
  }
  return axes;
}

Spatial<Axis> adaptive_axes(const Spatial<int64_t>& size, const Spatial<int64_t>& out_size) {
  return {adaptive_axis(size[0], out_size[0]), adaptive_axis(size[1], out_size[1]),
          adaptive_axis(size[2], out_size[2])};
}

at::Tensor empty_image(const at::Tensor& x, int64_t rank, const Spatial<int64_t>& size,
                       at::ScalarType dtype) {
  const at::Tensor image = to_image(x, rank);
  at::DimVector sizes(image.sizes());
  std::copy(size.end() - rank, size.end(), sizes.end() - rank);
  const at::Tensor y = empty(sizes, dtype, image.suggest_memory_format());
  return from_image(y, rank, has_batch(x, rank));
}

at::Tensor empty_image(const at::Tensor& x, int64_t rank, const Spatial<c10::SymInt>& size,
                       at::ScalarType dtype) {
  const at::Tensor image = to_image(x, rank);
  c10::SymDimVector sizes(image.sym_sizes());
  std::copy(size.end() - rank, size.end(), sizes.end() - rank);
  const auto options = x.options().dtype(dtype).memory_format(image.suggest_memory_format());
  return from_image(at::empty_symint(sizes, options), rank, has_batch(x, rank));
}

void for_runs(const char* op, const at::Tensor& x, int64_t rank, const Spatial<Axis>& axes,
              const at::Tensor& y, c10::function_ref<void(const Run&)> f) {
  // Kernels count in float32 and int32.
  constexpr int64_t kMaxTaps = 1 << 23;
  const double taps = 1.0 * most_taps(axes[0]) * most_taps(axes[1]) * most_taps(axes[2]);
  TORCH_CHECK(taps < kMaxTaps, "qnative::", op, ": windows must have less than ", kMaxTaps,
              " pixels, got ", taps);
  const auto format = rank == 3 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
  const at::Tensor source = to_image(x, rank).contiguous(format), y_batched = to_image(y, rank);
  const bool in_place = y_batched.is_contiguous(format);
  const at::Tensor target =
      in_place ? y_batched : empty(y_batched.sizes(), y.scalar_type(), format);
  const Windows windows{.axes = axes,
                        .in = image_size<int64_t>(x, rank),
                        .out = image_size<int64_t>(y, rank),
                        .channels = source.size(1),
                        .pixel_bytes = source.size(1) * source.element_size(),
                        .x = static_cast<const uint8_t*>(source.const_data_ptr()),
                        .y = static_cast<uint8_t*>(target.mutable_data_ptr())};
  const int64_t rows = target.size(0) * windows.out[0] * windows.out[1];
  const int64_t row_work = windows.out[2] * windows.pixel_bytes * (static_cast<int64_t>(taps) + 1);
  run_parts(rows, row_work, kWindowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) windows.for_row(row, f);
  });
  if (!in_place) y_batched.copy_(target);
}

#define QNATIVE_INSTANTIATE(Int)                                                            \
  template Spatial<Int> expand_triple(const char*, const char*, at::ArrayRef<Int>, int64_t, \
                                      int64_t, int64_t);                                    \
  template PoolArgs<Int> pool_args(const char*, int64_t, const BasicPoolWindow<Int>&);      \
  template Spatial<Int> image_size<Int>(const at::Tensor&, int64_t);                        \
  template Spatial<Int> pool_size(const char*, const at::Tensor&, const PoolArgs<Int>&);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

}  // namespace qnative::ops
