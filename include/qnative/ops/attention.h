#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"
#include "qnative/types.h"

// Scaled dot product attention as one op; qnative/ops.h explains the words.
//
// Safe to call from any number of threads at the same time.
namespace qnative {

// The arguments of torch.nn.functional.scaled_dot_product_attention besides q, k and v.
struct AttentionOptions {
  // bool (true: takes part) or float32 (added to the scores); broadcasts to [..., L, S].
  std::optional<at::Tensor> mask = std::nullopt;
  bool is_causal = false;                      // query l sees keys 0 to l
  std::optional<double> scale = std::nullopt;  // 1 / sqrt(E); any finite number
  bool enable_gqa = false;                     // heads of k and v stand for groups of heads of q
};

namespace ops {

// softmax(scale * q k^T + mask) v of real numbers. q: 8-bit [..., L, E]; k: 8-bit [..., S, E]; v:
// 8-bit [..., S, Ev], not necessarily of one dtype, any strides; leading dimensions broadcast. With
// enable_gqa the third last sizes of k and v divide that of q, and each of their heads is read by
// as many heads of q in a row. E and S are at most 65793 (more could overflow int32). y:
// [..., L, Ev], uint8, int8 or float32, without activation; as in torch with the strides of q where
// all have four dimensions, E = Ev and nothing is broadcast, otherwise contiguous.
//
//   s[t]    = float(sum_e (q[e] - q_zero_point) * k[t][e]) * float(q_scale * k_scale * scale)
//             + mask[t], k as int8; its zero point adds one number to all of a row and is left out
//   p[t]    = rne(65535 * exp(s[t] - max s))
//   r / y_scale = fma(float(sum_t p[t] * v[t]), float(1 / sum_t p[t]) * float(v_scale / y_scale),
//                     float(-v_zero_point * v_scale / y_scale)), v and its zero point as int8
//
// Sums are exact; so are y's bits the same for every ISA and number of threads. As in torch, a row
// is 0 where every key is masked by false or -infinity, and a mask of NaN or +infinity makes it not
// a number (the largest value of an 8-bit y). With is_causal and a mask both apply.
QNATIVE_API QTensor attention(const QTensor& q, const QTensor& k, const QTensor& v,
                              const OutputSpec& y = {}, const AttentionOptions& options = {});

// The same from float32 to float32, with 8-bit operands inside. Tensors whose last dimension is not
// contiguous are copied. With low and high the least and the greatest of a column of k, and the
// same for v:
//
//   k_scale[e] = (high - low) / 255              k'[t][e] = rne((k[t][e] - low) / k_scale[e]) - 128
//   q'[e]      = rne(q[e] * k_scale[e] / q_scale) + q_zero_point, with q_scale and q_zero_point of
//                its row as in linear_dynamic, without outliers
//   s[t]       = float(sum_e (q'[e] - q_zero_point) * k'[t][e]) * (q_scale * scale) + mask[t]
//
// then as above, with v_scale and low of each column. low and 128 would add the same number to the
// scores of all keys. Keys that a mask hides take part in the scales. docs/numerics.md has
// every rounding.
//
// Where L, times the heads of q that read one head of k with enable_gqa, is at most 4, as in a step
// of a decoder, all is computed in float32: quantizing the keys would take longer.
//
// NaN or an infinity in q makes its row NaN, in a column of v that column of all rows, in k
// everything that reads it, masked or not.
QNATIVE_API at::Tensor attention_dynamic(const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& v, const AttentionOptions& options = {});

}  // namespace ops
}  // namespace qnative
