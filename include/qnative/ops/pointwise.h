#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

#include "qnative/export.h"
#include "qnative/types.h"

// Elementwise functions and cat; qnative/ops.h has the words and rules.
//
// Safe to call from any number of threads at the same time.
namespace qnative::ops {

// y = act(real(a) + alpha * real(b)); a and b: 8-bit, not necessarily of one dtype, broadcast as in
// torch; the strides of y are those that torch.add gives. alpha: any finite number.
//   r / y_scale = fma(float(a - a_zero_point), float(a_scale / y_scale),
//                     float(b - b_zero_point) * float(alpha * b_scale / y_scale))
QNATIVE_API at::Tensor add(const at::Tensor& a, double a_scale, int64_t a_zero_point,
                           const at::Tensor& b, double b_scale, int64_t b_zero_point,
                           double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                           std::string_view activation = "none",
                           at::ArrayRef<double> activation_args = {}, double alpha = 1.0);

// y = act(real(a) * real(b)), otherwise as add.
//   r / y_scale = float((a - a_zero_point) * (b - b_zero_point)) * float(a_scale * b_scale /
//   y_scale)
QNATIVE_API at::Tensor mul(const at::Tensor& a, double a_scale, int64_t a_zero_point,
                           const at::Tensor& b, double b_scale, int64_t b_zero_point,
                           double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                           std::string_view activation = "none",
                           at::ArrayRef<double> activation_args = {});

// torch.cat of real numbers. tensors: 8-bit, one scale and zero point each. An input with the
// scale, zero point and dtype of y is copied, others are requantized:
//   r / y_scale = float(x - zero_point) * float(scale / y_scale)
QNATIVE_API at::Tensor cat(at::TensorList tensors, at::ArrayRef<double> scales,
                           at::IntArrayRef zero_points, int64_t dim, double y_scale,
                           int64_t y_zero_point, at::ScalarType y_dtype);

// y = table[x - min], min = 0 for uint8 x and -128 for int8 x. x: 8-bit, any shape; table: 8-bit
// [256]. y: dtype of table, strides as in torch's unary operators.
QNATIVE_API at::Tensor lookup(const at::Tensor& x, const at::Tensor& table);

}  // namespace qnative::ops
