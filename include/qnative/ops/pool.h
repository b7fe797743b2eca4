#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

#include "qnative/export.h"
#include "qnative/types.h"

namespace qnative {

// One value, or one for each dimension. Int: int64_t, or c10::SymInt where shapes are symbols.
template <class Int>
struct BasicPoolWindow {
  c10::SmallVector<Int, 3> kernel_size;
  c10::SmallVector<Int, 3> stride = {};  // empty: kernel_size
  c10::SmallVector<Int, 3> padding = {Int(0)};
  c10::SmallVector<Int, 3> dilation = {Int(1)};  // of max_pool
  bool ceil_mode = false;
  bool count_include_pad = true;                 // of avg_pool
  std::optional<int64_t> divisor_override = {};  // of avg_pool2d and avg_pool3d, not 0
};
using PoolWindow = BasicPoolWindow<int64_t>;

}  // namespace qnative

// Pooling, mean and resampling. Words and rules as in qnative/ops.h.
//
// Safe to call from any number of threads at the same time.
//
// x: 8-bit [N, C, ...] or [C, ...] with one to three more dimensions (1d, 2d, 3d); channels_last x
// gives channels_last y, and in one dimension x of the strides of conv1d's y gives such y.
// kernel_size, stride, padding, dilation, output_size: one value, or one for each dimension; an
// empty stride is kernel_size. Shapes as in torch.
namespace qnative::ops {

// Scale and zero point of y are those of x; x may also be float16, in which NaN is the largest
// value. Padding never wins.
QNATIVE_API at::Tensor max_pool1d(const at::Tensor& x, at::IntArrayRef kernel_size,
                                  at::IntArrayRef stride = {}, at::IntArrayRef padding = 0,
                                  at::IntArrayRef dilation = 1, bool ceil_mode = false);
QNATIVE_API at::Tensor max_pool2d(const at::Tensor& x, at::IntArrayRef kernel_size,
                                  at::IntArrayRef stride = {}, at::IntArrayRef padding = 0,
                                  at::IntArrayRef dilation = 1, bool ceil_mode = false);
QNATIVE_API at::Tensor max_pool3d(const at::Tensor& x, at::IntArrayRef kernel_size,
                                  at::IntArrayRef stride = {}, at::IntArrayRef padding = 0,
                                  at::IntArrayRef dilation = 1, bool ceil_mode = false);

//   r / y_scale = float(sum over the window of (x - x_zero_point)) *
//                 float(x_scale / (divisor * y_scale))
// divisor: as in torch, from the window, count_include_pad and divisor_override (not 0). A window
// has less than 2^23 pixels.
QNATIVE_API at::Tensor avg_pool1d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  at::IntArrayRef kernel_size, at::IntArrayRef stride,
                                  at::IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                                  double y_scale, int64_t y_zero_point, at::ScalarType y_dtype);
QNATIVE_API at::Tensor avg_pool2d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  at::IntArrayRef kernel_size, at::IntArrayRef stride,
                                  at::IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                                  std::optional<int64_t> divisor_override, double y_scale,
                                  int64_t y_zero_point, at::ScalarType y_dtype);
QNATIVE_API at::Tensor avg_pool3d(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  at::IntArrayRef kernel_size, at::IntArrayRef stride,
                                  at::IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                                  std::optional<int64_t> divisor_override, double y_scale,
                                  int64_t y_zero_point, at::ScalarType y_dtype);

// Arithmetic of avg_pool.
QNATIVE_API at::Tensor adaptive_avg_pool1d(const at::Tensor& x, double x_scale,
                                           int64_t x_zero_point, at::IntArrayRef output_size,
                                           double y_scale, int64_t y_zero_point,
                                           at::ScalarType y_dtype);
QNATIVE_API at::Tensor adaptive_avg_pool2d(const at::Tensor& x, double x_scale,
                                           int64_t x_zero_point, at::IntArrayRef output_size,
                                           double y_scale, int64_t y_zero_point,
                                           at::ScalarType y_dtype);
QNATIVE_API at::Tensor adaptive_avg_pool3d(const at::Tensor& x, double x_scale,
                                           int64_t x_zero_point, at::IntArrayRef output_size,
                                           double y_scale, int64_t y_zero_point,
                                           at::ScalarType y_dtype);

// Mean over the dimensions `dim` (none or empty: all); arithmetic of avg_pool. x: 8-bit, any
// shape; fewer than 2^23 elements are averaged into one. The mean of nothing (a zero-sized
// dimension) is the zero point.
QNATIVE_API at::Tensor mean(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                            at::OptionalIntArrayRef dim, bool keepdim, double y_scale,
                            int64_t y_zero_point, at::ScalarType y_dtype);

// torch.nn.functional.interpolate of real numbers. x: 8-bit [N, C, L], [N, C, H, W] or
// [N, C, D, H, W]; channels_last x gives channels_last y.
//
// Either size or scale_factors, one value or one for each dimension; the size is then
// floor(size of x * scale_factor). mode: "nearest", "nearest-exact", "linear" (L), "bilinear",
// "bicubic" (H, W) or "trilinear" (D, H, W); align_corners: of all but the nearest modes. Without
// align_corners, coordinates follow the scale factors where they are given, as in torch without
// recompute_scale_factor.
//
// The nearest modes copy x where scale, zero point and dtype are those of y and requantize it as
// cat does otherwise. The others: float32 weights as torch computes them, W before H before D:
//   chain(v, w) = v[0] * w[0], then fma(v[k], w[k], sum) for every other tap
//   r / y_scale = chain over D of (chain over H of (chain over W of float(x - x_zero_point))) *
//                 float(x_scale / y_scale)
QNATIVE_API at::Tensor interpolate(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                   at::OptionalIntArrayRef size,
                                   std::optional<at::ArrayRef<double>> scale_factors,
                                   std::string_view mode, std::optional<bool> align_corners,
                                   double y_scale, int64_t y_zero_point, at::ScalarType y_dtype);

}  // namespace qnative::ops
