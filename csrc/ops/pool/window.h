#pragma once

#include <ATen/ATen.h>
#include <c10/util/FunctionRef.h>

#include <array>
#include <vector>

#include "common/checks.h"
#include "common/empty.h"
#include "common/image.h"
#include "qnative/ops/pool.h"

// Pooling over 1 to 3 dimensions: which pixels of the input each output takes, and how x and y lie.
namespace qnative::ops {

// expand_values() with `filler` for the dimensions that are missing.
template <class Int>
Spatial<Int> expand_triple(const char* op, const char* name, at::ArrayRef<Int> values, int64_t rank,
                           int64_t least, int64_t filler = 1);

// Arguments of max_pool and avg_pool, checked as torch checks them.
template <class Int>
struct PoolArgs {
  int64_t rank;  // 1 to 3
  Spatial<Int> kernel, stride, padding, dilation;
  bool ceil_mode;
};
template <class Int>
PoolArgs<Int> pool_args(const char* op, int64_t rank, const BasicPoolWindow<Int>& window);

// Depth, height and width of x and of y; the last `rank` of them are pooled.
template <class Int>
Spatial<Int> image_size(const at::Tensor& x, int64_t rank);
template <class Int>
Spatial<Int> pool_size(const char* op, const at::Tensor& x, const PoolArgs<Int>& args);

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
Spatial<Axis> window_axes(const Spatial<int64_t>& size, const Spatial<int64_t>& out_size,
                          const PoolArgs<int64_t>& args);
Spatial<Axis> adaptive_axes(const Spatial<int64_t>& size, const Spatial<int64_t>& out_size);

// Neighbouring outputs of one row whose windows have one size and one distance: what one call of a
// kernel computes.
struct Run {
  const uint8_t* x;  // first pixel of the first window
  uint8_t* y;
  int64_t plane_stride, row_stride, pixel_stride;  // of taps, bytes
  int64_t planes, rows, columns;                   // one is 0 when all taps are padding
  int64_t channels;
  int64_t outputs, output_stride;  // the stride in bytes
  int64_t padded_taps;

  int64_t taps() const { return planes * rows * columns; }
};

// y of an op over images, on the CPU and on Meta: the memory format of x, as torch; also without
// batch dimension, and for one dimension the strides of channels_last for H = 1, those of conv1d.
at::Tensor empty_image(const at::Tensor& x, int64_t rank, const Spatial<int64_t>& size,
                       at::ScalarType dtype);
at::Tensor empty_image(const at::Tensor& x, int64_t rank, const Spatial<c10::SymInt>& size,
                       at::ScalarType dtype);

// Calls f(run) for all of y, in parallel. y: from empty_image(), of elements as large as those of
// x.
void for_runs(const char* op, const at::Tensor& x, int64_t rank, const Spatial<Axis>& axes,
              const at::Tensor& y, c10::function_ref<void(const Run&)> f);

}  // namespace qnative::ops
