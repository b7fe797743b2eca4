#pragma once

#include <ATen/ATen.h>

#include "qnative/export.h"
#include "qnative/types.h"

// Elementwise functions and cat; qnative/ops.h has the words and rules.
//
//   const QTensor y = ops::add(a, b, {.qparams = {0.5, 128}, .activation = Activation::relu()});
//
// Safe to call from any number of threads at the same time.
namespace qnative {

// Any function from 8 bits to 8 bits: its values for -128, ..., 127 or 0, ..., 255, in this order.
struct LookupTable {
  at::Tensor values;  // 8-bit [256]
};

namespace ops {

// y = act(real(a) + alpha * real(b)); a, b and y: 8-bit or int16, not necessarily of one dtype,
// broadcast as in torch; the strides of y are those that torch.add gives. alpha: any finite number.
// activation: bounds, also in the ops below.
//   r / y_scale = fma(float(a - a_zero_point), float(a_scale / y_scale),
//                     float(b - b_zero_point) * float(alpha * b_scale / y_scale))
QNATIVE_API QTensor add(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha = 1);

// y = act(real(a) * real(b)), otherwise as add.
//   r / y_scale = float(a - a_zero_point) * float(b - b_zero_point) *
//                 float(a_scale * b_scale / y_scale), each product rounded to float32
QNATIVE_API QTensor mul(const QTensor& a, const QTensor& b, const OutputSpec& y);

// torch.cat of real numbers, 8-bit or int16. An input with the qparams and the dtype of y is copied
// where there is no activation, others are requantized:
//   r / y_scale = float(x - zero_point) * float(scale / y_scale)
QNATIVE_API QTensor cat(at::ArrayRef<QTensor> tensors, int64_t dim, const OutputSpec& y);

// torch.prelu. x: 8-bit; weight: one value, or [C] for x [N, C, ...]; float32, finite. y is
// channels_last where x is, otherwise contiguous.
//   r / y_scale = float(x - x_zero_point) * (x < x_zero_point ? float(x_scale * weight / y_scale)
//                                                             : float(x_scale / y_scale))
QNATIVE_API QTensor prelu(const QTensor& x, const at::Tensor& weight, const OutputSpec& y);

// y = table.values[x - min], min = 0 for uint8 x and -128 for int8 x. x: 8-bit, any shape. y: dtype
// of the table, strides as in torch's unary operators.
QNATIVE_API at::Tensor lookup(const at::Tensor& x, const LookupTable& table);

}  // namespace ops
}  // namespace qnative
