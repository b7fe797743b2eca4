#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

#include "qnative/export.h"
#include "qnative/types.h"

// Products of two quantized tensors; qnative/ops.h has the words and rules.
//
// Safe to call from any number of threads at the same time.
namespace qnative::ops {

// torch.matmul of real numbers, then the activation. a: 8-bit [..., M, K] or [K]; b: 8-bit
// [..., K, N] or [K], not necessarily of one dtype; leading dimensions broadcast; any strides (a
// transposed b costs nothing more); K <= 33025 (more could overflow int32). y: contiguous; y_dtype
// uint8, int8 or float32.
//   acc = sum_k (a - a_zero_point) * (b - b_zero_point), exact in int32
//   8-bit:   r / y_scale = float(acc) * float(a_scale * b_scale / y_scale)
//   float32: r = float(acc) * float(a_scale * b_scale)
QNATIVE_API at::Tensor matmul(const at::Tensor& a, double a_scale, int64_t a_zero_point,
                              const at::Tensor& b, double b_scale, int64_t b_zero_point,
                              double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

}  // namespace qnative::ops
