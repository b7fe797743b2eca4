#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

#include "qnative/export.h"

// Normalizations and softmax; qnative/ops.h explains the words. weight, bias and running
// statistics are float32 tensors of real numbers. eps: finite and not negative. Real results that
// are not a number become the largest value of y.
namespace qnative::ops {

// torch.nn.functional.layer_norm. x: 8-bit [..., *normalized_shape], any strides; weight, bias:
// normalized_shape. y: contiguous; y_dtype uint8, int8 or float32. Mean and variance are those of
// exact integer sums.
//   d = sqrt(x_scale^2 * variance + eps), or infinity where the variance is 0
//   r / y_scale = fma(fma(float(x - x_zero_point), float(x_scale / d), float(-mean * x_scale / d)),
//                     weight * float(1 / y_scale), bias * float(1 / y_scale))
QNATIVE_API at::Tensor layer_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  at::IntArrayRef normalized_shape,
                                  const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias, double eps, double y_scale,
                                  int64_t y_zero_point, at::ScalarType y_dtype);

// The others take x: 8-bit [N, C, ...] of two or more dimensions, any strides; weight, bias,
// running_mean and running_var: [C]. y is channels_last where x is, otherwise contiguous.
//   r / y_scale = fma(float(x - x_zero_point), float(scale * weight / y_scale),
//                     float((shift * weight + bias) / y_scale))

// scale = x_scale / d and shift = -mean * scale, from the statistics of a group of C / num_groups
// channels, with d as in layer_norm.
QNATIVE_API at::Tensor group_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  int64_t num_groups, const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias, double eps, double y_scale,
                                  int64_t y_zero_point, at::ScalarType y_dtype);

// use_input_stats: as group_norm with a group for each channel; the running statistics are neither
// used nor updated. Otherwise as batch_norm, for which both must be there.
QNATIVE_API at::Tensor instance_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                     const std::optional<at::Tensor>& weight,
                                     const std::optional<at::Tensor>& bias,
                                     const std::optional<at::Tensor>& running_mean,
                                     const std::optional<at::Tensor>& running_var,
                                     bool use_input_stats, double eps, double y_scale,
                                     int64_t y_zero_point, at::ScalarType y_dtype);

// scale = x_scale / d and shift = -running_mean / d, d = sqrt(running_var + eps); an error where a
// channel's constants are not finite. The activation is applied to r.
QNATIVE_API at::Tensor batch_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                  const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias,
                                  const at::Tensor& running_mean, const at::Tensor& running_var,
                                  double eps, double y_scale, int64_t y_zero_point,
                                  at::ScalarType y_dtype, std::string_view activation = "none",
                                  at::ArrayRef<double> activation_args = {});

// torch.softmax. x: 8-bit, any shape. y: strides as in torch's unary operators; y_dtype uint8, int8
// or float32.
//   e(v) = exp((v - largest of the row) * x_scale) as float32, 0 where that is denormal
//   r / y_scale = e(x) * float(1 / (y_scale * sum of the row's e, each rounded to 2^-31))
QNATIVE_API at::Tensor softmax(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                               int64_t dim, double y_scale, int64_t y_zero_point,
                               at::ScalarType y_dtype);

}  // namespace qnative::ops
