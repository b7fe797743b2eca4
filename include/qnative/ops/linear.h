#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "qnative/export.h"
#include "qnative/types.h"

// Linear layers; qnative/ops.h has the words and rules.
//
//   const PackedWeight w{ops::linear_pack(weight), scale, bias, {16, 64}};    // once
//   const QTensor y = ops::linear(x, w, {.qparams = {0.5, 128}});             // for each x
//
// Safe to call from any number of threads at the same time, also with one weight.
namespace qnative {

// The weight of linear_dynamic, without a bias.
struct DynamicWeight {
  PackedWeight weight;            // int8, of shape {N, K + R}
  std::vector<int64_t> repeated;  // the R inputs with more than one column, in ascending order
};

namespace ops {

// y[..., n] = act(sum_k real(x[..., k]) * real(w[n, k]) + bias[n])
//
// x: 8-bit [..., K], any strides; w: from linear_pack, of shape {N, K}, K <= 65793 (more could
// overflow int32); activation: bounds. y: [..., N], contiguous, 8-bit, int16 or float32.
//   acc = sum_k (x - x_zero_point) * w, exact in int32
//   quantized: r / y_scale = fma(float(acc), float(x_scale * w_scale[n] / y_scale),
//                                float(bias[n] / y_scale))
//   float32:   r = fma(float(acc), float(x_scale * w_scale[n]), bias[n])
QNATIVE_API QTensor linear(const QTensor& x, const PackedWeight& w, const OutputSpec& y);

// int8 [N, K] -> the layout of the kernels, int8 of one dimension, the same bytes on every machine.
QNATIVE_API at::Tensor linear_pack(const at::Tensor& weight);

// The inverse of linear_pack: int8 of `shape`.
QNATIVE_API at::Tensor linear_unpack(const at::Tensor& weight, at::IntArrayRef shape);

// ---- linear from float to float: any activation ---------------------------------------------

// linear with x quantized on the way, each row with a scale and a zero point of its own.
// x: float32 [..., K], any strides; w: as in linear. y: float32 [..., N], contiguous. For each row
// of x, with low and high the least and greatest of its values and 0, but for outliers:
//   scale      = max(float((high - low) / 255), 2^-126)
//   zero_point = min(rne(-low * float(1 / scale)), 255)
//   q          = clamp(rne(x * float(1 / scale)) + zero_point, 0, 255), of outliers not clamped
//   y          = act(fma(float(sum_k (q - zero_point) * w), float(scale * w_scale[n]), bias[n]))
// Outliers are the values above 8 times the mean magnitude of the row, if those are at most four;
// docs/numerics.md has the rule in full.
// repeated: for weights larger than 127 steps of their scale. The shape of w is then {N, K + R},
// and its last R columns multiply the values of x at these R positions once more.
// A row that holds NaN or an infinity gives NaN; other rows do not change.
QNATIVE_API at::Tensor linear_dynamic(const at::Tensor& x, const PackedWeight& w,
                                      const Activation& activation = {},
                                      at::IntArrayRef repeated = {});

// From float32 [N, K], finite; symmetric, with a scale for each row:
//   scale[n] = max(min(max |w[n]|, peak * rms(w[n])) / 127, 2^-126), 1 for a row of zeros
//   q[n, k]  = rne(w[n, k] / scale[n]), the sum of the columns of input k, each in [-127, 127]
// peak is the first of 5, 5 * 1.25, 5 * 1.25^2, ... with R <= min(K / 16, 65793 - K).
// may_repeat: otherwise peak is infinite and R is 0, as lstm and its kin need it.
QNATIVE_API DynamicWeight linear_dynamic_pack(const at::Tensor& weight, bool may_repeat = true);

// linear with weights of 4 bits, which have a scale for each group of group_size inputs, and x
// quantized on the way, each group of a row with a scale of its own.
// x: float32 [..., K], any strides; w: from linear_4bit_pack, of shape {N, K}, no scale.
// y: float32 [..., N], contiguous. For group g of a row of x:
//   scale[g] = max(max |x| / 127, 2^-126), q = rne(x * float(1 / scale[g]))
//   y        = act(r), r = bias[n], then for g = 0, 1, ...
//              r = fma(float(sum_{k in g} q[k] * code[n][k]), scale[g] * w_scale[n][g], r)
// group_size: a multiple of 4, or at least K for one group in each row; at most 2^20 inputs.
// A row that holds NaN or an infinity gives NaN; other rows do not change.
QNATIVE_API at::Tensor linear_4bit(const at::Tensor& x, const PackedWeight& w, int64_t group_size,
                                   const Activation& activation = {});

// float [N, K], finite -> codes of 4 bits with their scales in the layout of the kernels, uint8 of
// one dimension, the same bytes on every machine. The last group of a row may be shorter.
//   w[n, k] ~ code * w_scale[n][g], code in [-8, 7]; w_scale: bfloat16, either sign
// docs/numerics.md says how the scale with the least squared error is looked for.
QNATIVE_API at::Tensor linear_4bit_pack(const at::Tensor& weight, int64_t group_size);

// The weight of linear_4bit before packing.
struct Codes4Bit {
  at::Tensor codes;  // int8 [N, K], each in [-8, 7]
  at::Tensor scale;  // bfloat16 [N, ceil(K / group_size)], finite
};

// The same from codes and scales, such as other tools make.
QNATIVE_API at::Tensor linear_4bit_pack(const at::Tensor& codes, const at::Tensor& scale,
                                        int64_t group_size);

// The inverse of linear_4bit_pack; shape: {N, K}.
QNATIVE_API Codes4Bit linear_4bit_unpack(const at::Tensor& weight, at::IntArrayRef shape,
                                         int64_t group_size);

// linear with weights stored in half precision and float32 arithmetic. x: float32 [..., K], any
// strides; w: from linear_fp16_pack, of shape {N, K}. y: float32 [..., N], contiguous.
//   y = act(acc + bias[n]), acc = 0, then fma(x[k], float(w[n][k]), acc) for k = 0, 1, ...
QNATIVE_API at::Tensor linear_dynamic_fp16(const at::Tensor& x, const PackedWeight& w,
                                           const Activation& activation = {});

// The same with x and y in half precision: y is rounded once, at the end.
QNATIVE_API at::Tensor linear_fp16(const at::Tensor& x, const PackedWeight& w,
                                   const Activation& activation = {});

// float16 or float32 [N, K] -> the layout of the kernels, float16 of one dimension, the same on
// every machine. Values above 65504 saturate.
QNATIVE_API at::Tensor linear_fp16_pack(const at::Tensor& weight);

// The inverse of linear_fp16_pack: float16 of `shape`.
QNATIVE_API at::Tensor linear_fp16_unpack(const at::Tensor& weight, at::IntArrayRef shape);

}  // namespace ops
}  // namespace qnative
