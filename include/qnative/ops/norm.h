#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"
#include "qnative/types.h"

// Normalizations and softmax; qnative/ops.h has the words and rules.
//
//   const QTensor y = ops::group_norm(x, 32, {weight, bias}, 1e-5, {.qparams = {0.5, 128}});
//
// Safe to call from any number of threads at the same time.
//
// eps: finite and not negative; activation: bounds. Real results that are not a number become the
// largest value of y.
namespace qnative {

// Factor and then summand of a normalized value: float32, real numbers.
struct NormWeights {
  std::optional<at::Tensor> weight = {};  // ones
  std::optional<at::Tensor> bias = {};    // zeros
};

// Statistics from training: float32 [C], real numbers.
struct RunningStats {
  at::Tensor mean;
  at::Tensor var;
};

}  // namespace qnative

namespace qnative::ops {

// torch.nn.functional.layer_norm. x: 8-bit or int16 [..., *normalized_shape], any strides; weight,
// bias: normalized_shape. y: contiguous; uint8, int8, int16 or float32. Mean and variance are those
// of exact integer sums.
//   d = sqrt(x_scale^2 * variance + eps), or infinity where the variance is 0
//   r / y_scale = fma(fma(float(x - x_zero_point), float(x_scale / d), float(-mean * x_scale / d)),
//                     weight * float(1 / y_scale), bias * float(1 / y_scale))
QNATIVE_API QTensor layer_norm(const QTensor& x, at::IntArrayRef normalized_shape,
                               const NormWeights& weights, double eps, const OutputSpec& y);

// torch.nn.functional.rms_norm, otherwise as layer_norm with mean_square in place of the variance,
// that of x - x_zero_point, and without mean and bias. eps: none is 2^-23, as in torch.
QNATIVE_API QTensor rms_norm(const QTensor& x, at::IntArrayRef normalized_shape,
                             const std::optional<at::Tensor>& weight, std::optional<double> eps,
                             const OutputSpec& y);

// The others take x: 8-bit [N, C, ...] of two or more dimensions, any strides; weight, bias: [C].
// y is channels_last where x is, otherwise contiguous.
//   r / y_scale = fma(float(x - x_zero_point), float(scale * weight / y_scale),
//                     float((shift * weight + bias) / y_scale))

// scale = x_scale / d and shift = -mean * scale, from the statistics of a group of C / num_groups
// channels, with d as in layer_norm.
QNATIVE_API QTensor group_norm(const QTensor& x, int64_t num_groups, const NormWeights& weights,
                               double eps, const OutputSpec& y);

// Without statistics: as group_norm with a group for each channel. With them: as batch_norm.
QNATIVE_API QTensor instance_norm(const QTensor& x, const NormWeights& weights,
                                  const std::optional<RunningStats>& stats, double eps,
                                  const OutputSpec& y);

// scale = x_scale / d and shift = -mean / d, d = sqrt(var + eps); an error where a channel's
// constants are not finite.
QNATIVE_API QTensor batch_norm(const QTensor& x, const NormWeights& weights,
                               const RunningStats& stats, double eps, const OutputSpec& y);

// torch.softmax. x: 8-bit, any shape. y: uint8, int8 or float32, strides as in torch's unary
// operators.
//   e(v) = exp((v - largest of the row) * x_scale) as float32, 0 where that is denormal
//   r / y_scale = e(x) * float(1 / (y_scale * sum of the row's e, each rounded to 2^-31))
QNATIVE_API QTensor softmax(const QTensor& x, int64_t dim, const OutputSpec& y);

}  // namespace qnative::ops
