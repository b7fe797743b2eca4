#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"
#include "qnative/types.h"

// Pooling and mean; qnative/ops.h has the words and rules.
//
//   const QTensor y = ops::avg_pool2d(x, {.kernel_size = 3, .stride = 2}, {.qparams = {0.5, 3}});
//
// Safe to call from any number of threads at the same time.
//
// x: 8-bit [N, C, ...] or [C, ...] with one to three more dimensions (1d, 2d, 3d); channels_last x
// gives channels_last y, and in one dimension x of the strides of conv1d's y gives such y. Shapes
// as in torch. activation: bounds.
namespace qnative {

// One value, or one for each dimension. Int: as in Values.
template <class Int>
struct BasicPoolWindow {
  Values<Int> kernel_size;
  Values<Int> stride = {};  // empty: kernel_size
  Values<Int> padding = Int(0);
  Values<Int> dilation = Int(1);  // of max_pool; 1 in avg_pool
  bool ceil_mode = false;
  bool count_include_pad = true;                 // of avg_pool
  std::optional<int64_t> divisor_override = {};  // of avg_pool, not 0
};
using PoolWindow = BasicPoolWindow<int64_t>;

}  // namespace qnative

namespace qnative::ops {

// The qparams of y are those of x. A tensor x may also be float16, in which NaN is the largest
// value. Padding never wins.
QNATIVE_API at::Tensor max_pool1d(const at::Tensor& x, const PoolWindow& window);
QNATIVE_API at::Tensor max_pool2d(const at::Tensor& x, const PoolWindow& window);
QNATIVE_API at::Tensor max_pool3d(const at::Tensor& x, const PoolWindow& window);
inline QTensor max_pool1d(const QTensor& x, const PoolWindow& window) {
  return {max_pool1d(x.data, window), x.qparams};
}
inline QTensor max_pool2d(const QTensor& x, const PoolWindow& window) {
  return {max_pool2d(x.data, window), x.qparams};
}
inline QTensor max_pool3d(const QTensor& x, const PoolWindow& window) {
  return {max_pool3d(x.data, window), x.qparams};
}

//   r / y_scale = float(sum over the window of (x - x_zero_point)) *
//                 float(x_scale / (divisor * y_scale))
// divisor: as in torch, from the window, count_include_pad and divisor_override. A window has less
// than 2^23 pixels.
QNATIVE_API QTensor avg_pool1d(const QTensor& x, const PoolWindow& window, const OutputSpec& y);
QNATIVE_API QTensor avg_pool2d(const QTensor& x, const PoolWindow& window, const OutputSpec& y);
QNATIVE_API QTensor avg_pool3d(const QTensor& x, const PoolWindow& window, const OutputSpec& y);

// Arithmetic of avg_pool. output_size: one value, or one for each dimension.
QNATIVE_API QTensor adaptive_avg_pool1d(const QTensor& x, at::IntArrayRef output_size,
                                        const OutputSpec& y);
QNATIVE_API QTensor adaptive_avg_pool2d(const QTensor& x, at::IntArrayRef output_size,
                                        const OutputSpec& y);
QNATIVE_API QTensor adaptive_avg_pool3d(const QTensor& x, at::IntArrayRef output_size,
                                        const OutputSpec& y);

// Mean over the dimensions `dim` (none or empty: all); arithmetic of avg_pool. x: 8-bit, any
// shape; fewer than 2^23 elements are averaged into one. The mean of nothing (a zero-sized
// dimension) is act(0).
QNATIVE_API QTensor mean(const QTensor& x, at::OptionalIntArrayRef dim, bool keepdim,
                         const OutputSpec& y);

}  // namespace qnative::ops
