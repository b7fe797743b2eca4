#include "pool_window.h"

#include "parallel.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 64 * 1024;  // bytes read by a task

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

// The dimensions of x as those of one [N, C, H, W].
struct ImageSizes {
  explicit ImageSizes(const at::Tensor& x)
      : images(x.dim() == 4 ? x.size(0) : 1),
        channels(x.size(-3)),
        height(x.size(-2)),
        width(x.size(-1)) {}
  int64_t images, channels, height, width;
};

at::Tensor batched(const at::Tensor& x) { return x.dim() == 4 ? x : x.unsqueeze(0); }

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

}  // namespace

template <class Int>
PoolArgs<Int> pool_args(const char* op, at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                        at::ArrayRef<Int> padding, at::ArrayRef<Int> dilation, bool ceil_mode) {
  PoolArgs<Int> args{.kernel = expand_pair(op, "kernel_size", kernel_size, 1),
                     .stride = {},
                     .padding = expand_pair(op, "padding", padding, 0),
                     .dilation = expand_pair(op, "dilation", dilation, 1),
                     .ceil_mode = ceil_mode};
  args.stride = stride.empty() ? args.kernel : expand_pair(op, "stride", stride, 1);
  TORCH_CHECK(args.padding.h * 2 <= args.kernel.h && args.padding.w * 2 <= args.kernel.w,
              "qnative::", op, ": padding must be at most half of kernel_size, got ", padding,
              " and ", kernel_size);
  return args;
}

template <class Int>
Pair<Int> pool_size(const char* op, const at::Tensor& x, const PoolArgs<Int>& args) {
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  check_image(op, sizes);
  const at::ArrayRef<Int> image = sizes.slice(sizes.size() - 2);
  return {pool_extent(op, image[0], args.kernel.h, args.stride.h, args.padding.h, args.dilation.h,
                      args.ceil_mode),
          pool_extent(op, image[1], args.kernel.w, args.stride.w, args.padding.w, args.dilation.w,
                      args.ceil_mode)};
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

at::Tensor empty_image(const at::Tensor& x, int64_t height, int64_t width, at::ScalarType dtype) {
  at::DimVector sizes(x.sizes());
  sizes[sizes.size() - 2] = height;
  sizes[sizes.size() - 1] = width;
  return empty(sizes, dtype, x.suggest_memory_format());
}

at::Tensor empty_image_meta(const at::Tensor& x, const Pair<c10::SymInt>& size,
                            at::ScalarType dtype) {
  c10::SymDimVector sizes(x.sym_sizes());
  sizes[sizes.size() - 2] = size.h;
  sizes[sizes.size() - 1] = size.w;
  return at::empty_symint(sizes, x.options().dtype(dtype).memory_format(x.suggest_memory_format()));
}

void for_runs(const char* op, const at::Tensor& x, const Axis& vertical, const Axis& horizontal,
              const at::Tensor& y, const std::function<void(const Run&)>& f) {
  if (y.numel() == 0) return;
  // Kernels count in float32 and int32.
  constexpr int64_t kMaxTaps = 1 << 23;
  const int64_t taps = most_taps(vertical) * most_taps(horizontal);
  TORCH_CHECK(taps < kMaxTaps, "qnative::", op, ": windows must have less than ", kMaxTaps,
              " pixels, got ", taps);
  constexpr at::MemoryFormat kFormat = at::MemoryFormat::ChannelsLast;
  const ImageSizes in(x), out(y);
  const at::Tensor source = batched(x).contiguous(kFormat), y_batched = batched(y);
  const bool in_place = y_batched.is_contiguous(kFormat);
  const at::Tensor target =
      in_place ? y_batched : empty(y_batched.sizes(), y.scalar_type(), kFormat);
  const auto* x_bytes = static_cast<const uint8_t*>(source.const_data_ptr());
  auto* y_bytes = static_cast<uint8_t*>(target.mutable_data_ptr());
  const int64_t row_bytes = in.width * in.channels;
  run_parts(
      out.images * out.height, out.width * out.channels * (taps + 1), kGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const Span& span = vertical.spans[row % out.height];
          const uint8_t* x_row = x_bytes + (row / out.height * in.height + span.begin) * row_bytes;
          for (int64_t i = 0, alike = 0; i < out.width; i += alike) {
            alike = count_alike(horizontal.spans, i);
            const Span& first = horizontal.spans[i];
            const int64_t distance = alike > 1 ? horizontal.spans[i + 1].begin - first.begin : 0;
            f({.x = x_row + first.begin * in.channels,
               .y = y_bytes + (row * out.width + i) * out.channels,
               .row_stride = vertical.step * row_bytes,
               .pixel_stride = horizontal.step * in.channels,
               .rows = span.count,
               .columns = first.count,
               .channels = in.channels,
               .outputs = alike,
               .output_stride = distance * in.channels,
               .padded_taps = span.padded_count * first.padded_count});
          }
        }
      });
  if (!in_place) y_batched.copy_(target);
}

#define QNATIVE_INSTANTIATE(Int)                                                      \
  template PoolArgs<Int> pool_args(const char*, at::ArrayRef<Int>, at::ArrayRef<Int>, \
                                   at::ArrayRef<Int>, at::ArrayRef<Int>, bool);       \
  template Pair<Int> pool_size(const char*, const at::Tensor&, const PoolArgs<Int>&);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

}  // namespace qnative::ops
