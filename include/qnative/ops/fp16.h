#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>
#include <variant>

#include "qnative/export.h"
#include "qnative/ops/interpolate.h"
#include "qnative/ops/pool.h"
#include "qnative/types.h"

// float16 to float16: computed in float32, sums of means in float64, and rounded once, half to
// even. NaN and infinities are numbers like others, and every NaN that comes out is 0x7e00.
// linear_fp16 and what packs its weight are in qnative/ops.h; max_pool, in qnative/ops/pool.h,
// takes float16 as well. qnative/ops.h explains the words.
//
// Safe to call from any number of threads at the same time.
namespace qnative {

// Functions of one number that pointwise_fp16 computes, besides activations. All numbers must be
// finite as float32.
struct Affine {
  double scale = 1;     // fma(x, scale, shift)
  double shift = -0.0;  // -0.0 adds nothing to any number, not even to -0
};
struct FloorDivide {
  double divisor;  // the integer not above x / divisor, exactly; x / 0 for 0, NaN for infinite x
};
using PointwiseFunction = std::variant<Activation, Affine, FloorDivide>;

}  // namespace qnative

namespace qnative::ops {

// y = half(act(r)), r = fma(b, float(alpha), a). a and b broadcast as in torch; the strides of y
// are those that torch.add gives. alpha: finite as float32; activation: bounds.
QNATIVE_API at::Tensor add_fp16(const at::Tensor& a, const at::Tensor& b,
                                const Activation& activation = {}, double alpha = 1);

// r = a * b, otherwise as add_fp16.
QNATIVE_API at::Tensor mul_fp16(const at::Tensor& a, const at::Tensor& b,
                                const Activation& activation = {});

// y = half(function(x)), element by element; y has strides as in torch's unary operators.
QNATIVE_API at::Tensor pointwise_fp16(const at::Tensor& x, const PointwiseFunction& function);

// torch.matmul, then the activation. a: [..., M, K] or [K]; b: [..., K, N] or [K]; leading
// dimensions broadcast; any strides. y: contiguous.
//   y = half(act(sum)), sum = 0, then fma(a[k], b[k], sum) for k = 0, 1, ... in this order
QNATIVE_API at::Tensor matmul_fp16(const at::Tensor& a, const at::Tensor& b,
                                   const Activation& activation = {});

// torch.softmax. y: strides as in torch's unary operators.
//   y = half(e(x) * (1 / sum of the row's e)), e(v) = exp(v - largest of the row)
QNATIVE_API at::Tensor softmax_fp16(const at::Tensor& x, int64_t dim);

// torch's functions of these names. The arguments, the shape and the format of y are those of
// avg_pool and adaptive_avg_pool in qnative/ops/pool.h.
//   y = half(float(sum / divisor)), sum and quotient in float64: the sum is exact while its
//   magnitudes add up to less than 2^29, as those of 8192 numbers do in any case
QNATIVE_API at::Tensor avg_pool1d_fp16(const at::Tensor& x, const PoolWindow& window);
QNATIVE_API at::Tensor avg_pool2d_fp16(const at::Tensor& x, const PoolWindow& window);
QNATIVE_API at::Tensor avg_pool3d_fp16(const at::Tensor& x, const PoolWindow& window);
QNATIVE_API at::Tensor adaptive_avg_pool1d_fp16(const at::Tensor& x, at::IntArrayRef output_size);
QNATIVE_API at::Tensor adaptive_avg_pool2d_fp16(const at::Tensor& x, at::IntArrayRef output_size);
QNATIVE_API at::Tensor adaptive_avg_pool3d_fp16(const at::Tensor& x, at::IntArrayRef output_size);

// Mean over the dimensions `dim` (none or empty: all), of any number of elements; arithmetic of
// avg_pool. The mean of nothing is NaN.
QNATIVE_API at::Tensor mean_fp16(const at::Tensor& x, at::OptionalIntArrayRef dim, bool keepdim);

// torch.nn.functional.interpolate; the arguments are those of interpolate in
// qnative/ops/interpolate.h. The nearest modes copy. The others: y = half(chain over D of (chain
// over H of (chain over W of x))), with float32 weights as torch computes them and chain as there.
QNATIVE_API at::Tensor interpolate_fp16(const at::Tensor& x, const Interpolation& interpolation);

}  // namespace qnative::ops
