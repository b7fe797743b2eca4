#pragma once

#include <ATen/ATen.h>

#include "qnative/export.h"
#include "qnative/types.h"

// Products of two quantized tensors; qnative/ops.h has the words and rules.
//
//   const QTensor y = ops::matmul(a, b, {.qparams = {0.5, 128}});
//
// Safe to call from any number of threads at the same time.
namespace qnative::ops {

// torch.matmul of real numbers, then the activation. a: 8-bit [..., M, K] or [K]; b: 8-bit
// [..., K, N] or [K], not necessarily of one dtype; leading dimensions broadcast; any strides (a
// transposed b costs nothing more); K <= 33025 (more could overflow int32); activation: bounds. y:
// contiguous, 8-bit or float32.
//   acc = sum_k (a - a_zero_point) * (b - b_zero_point), exact in int32
//   8-bit:   r / y_scale = float(acc) * float(a_scale * b_scale / y_scale)
//   float32: r = float(acc) * float(a_scale * b_scale)
QNATIVE_API QTensor matmul(const QTensor& a, const QTensor& b, const OutputSpec& y);

}  // namespace qnative::ops
