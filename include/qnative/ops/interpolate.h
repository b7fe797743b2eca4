#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>

#include "qnative/export.h"
#include "qnative/types.h"

// Resampling; qnative/ops.h has the words and rules.
//
//   const QTensor y = ops::interpolate(x, {.scale_factors = {{2}}, .mode = "bilinear"},
//   {x.qparams});
//
// Safe to call from any number of threads at the same time.
namespace qnative {

// Either size or scale_factors, one value or one for each dimension; the size is then
// floor(size of x * scale_factor). Without align_corners, coordinates follow the scale factors
// where they are given, as in torch without recompute_scale_factor. Int: int64_t, or c10::SymInt
// where shapes are symbols.
template <class Int>
struct BasicInterpolation {
  std::optional<Values<Int>> size = {};
  std::optional<Values<double>> scale_factors = {};
  // "nearest", "nearest-exact", "linear" (L), "bilinear", "bicubic" (H, W) or "trilinear" (D, H, W)
  std::string mode = "nearest";
  std::optional<bool> align_corners = {};  // of all but the nearest modes
};
using Interpolation = BasicInterpolation<int64_t>;

}  // namespace qnative

namespace qnative::ops {

// torch.nn.functional.interpolate of real numbers. x: 8-bit [N, C, L], [N, C, H, W] or
// [N, C, D, H, W]; channels_last x gives channels_last y. activation: bounds.
//
// The nearest modes copy x where qparams and dtype are those of y and there is no activation, and
// requantize it as cat does otherwise. The others: float32 weights as torch computes them, W before
// H before D:
//   chain(v, w) = v[0] * w[0], then fma(v[k], w[k], sum) for every other tap
//   r / y_scale = chain over D of (chain over H of (chain over W of float(x - x_zero_point))) *
//                 float(x_scale / y_scale)
QNATIVE_API QTensor interpolate(const QTensor& x, const Interpolation& interpolation,
                                const OutputSpec& y);

}  // namespace qnative::ops
