#pragma once

#include <ATen/ATen.h>

// Quantizes weights of float32, symmetric, with a scale for each row.
namespace qnative::ops {

// float32 [N, K], contiguous: the greatest magnitude of each row, [N]. An error names the first
// row with a value that is not finite; `what` is the word for a row.
at::Tensor finite_magnitudes(const char* op, const at::Tensor& weight, const char* what);

// max(magnitude / 127, 2^-126), or 1 for a magnitude of 0, whose row may have any scale.
at::Tensor weight_scale_of(const at::Tensor& magnitude);

// rne(weight[n] / scale[n])
at::Tensor weight_codes(const at::Tensor& weight, const at::Tensor& scale);

}  // namespace qnative::ops
