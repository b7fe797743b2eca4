#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "checks.h"
#include "output.h"

// Pooling over images: which input rows and columns each output takes, and how x and y lie.
namespace qnative::ops {

// Arguments of max_pool2d and avg_pool2d, checked as torch checks them.
template <class Int>
struct PoolArgs {
  Pair<Int> kernel, stride, padding, dilation;
  bool ceil_mode;
};
template <class Int>
PoolArgs<Int> pool_args(const char* op, at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                        at::ArrayRef<Int> padding, at::ArrayRef<Int> dilation, bool ceil_mode);

// Height and width of y.
template <class Int>
Pair<Int> pool_size(const char* op, const at::Tensor& x, const PoolArgs<Int>& args);

// Taps begin, begin + step, ... of an axis of the input, `count` of them, inside of the image.
// padded_count also counts padding, as count_include_pad does.
struct Span {
  int64_t begin, count, padded_count;
};
// The spans of one axis; step is the distance of taps.
struct Axis {
  std::vector<Span> spans;
  int64_t step;
};
Axis window_axis(int64_t size, int64_t out_size, int64_t kernel, int64_t stride, int64_t padding,
                 int64_t dilation);
Axis adaptive_axis(int64_t size, int64_t out_size);

// Neighbouring outputs of one row whose windows have one size and one distance: what one call of a
// kernel computes.
struct Run {
  const uint8_t* x;  // first pixel of the first window
  uint8_t* y;
  int64_t row_stride, pixel_stride;  // of taps, bytes
  int64_t rows, columns, channels;   // rows or columns are 0 when all taps are padding
  int64_t outputs, output_stride;
  int64_t padded_taps;
};

// y of an op over images: the memory format of x, as torch.
at::Tensor empty_image(const at::Tensor& x, int64_t height, int64_t width, at::ScalarType dtype);
at::Tensor empty_image_meta(const at::Tensor& x, const Pair<c10::SymInt>& size,
                            at::ScalarType dtype);

// Calls f(run) for all of y, in parallel. y: from empty_image().
void for_runs(const char* op, const at::Tensor& x, const Axis& vertical, const Axis& horizontal,
              const at::Tensor& y, const std::function<void(const Run&)>& f);

}  // namespace qnative::ops
