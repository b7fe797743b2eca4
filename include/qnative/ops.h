#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>
#include <tuple>

#include "qnative/export.h"
#include "qnative/ops/embedding.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pool.h"
#include "qnative/ops/rnn.h"

// The operators of qnative for C++ programs, one function for each schema of torch.ops.qnative.
// They run on CPU tensors and skip the dispatcher: nothing is recorded by autograd or jit.trace.
//
// Words used below:
//   8-bit    dtype uint8 or int8. The real value of q is (q - zero_point) * scale.
//   scale    positive, finite and not denormal as a float32; zero_point: a value of the dtype.
//   y_dtype  uint8 or int8. Where float32 is allowed too, y holds real numbers and y_scale and
//            y_zero_point are ignored.
//   activation, activation_args
//            "none", "relu", "relu6", or "clamp" with {min, max} (hardtanh); min <= max.
//
// Arithmetic: real sums r are exact integers times one float32 multiplier (each function gives it),
// and y = clamp(rne(r / y_scale) + y_zero_point, lo, hi) with rne = round half to even. [lo, hi] is
// the range of y_dtype, or narrower: a bound v of the activation becomes
// rne(float(v / y_scale)) + y_zero_point. As rounding is monotonic, that gives the bits of
// clamping the real value before it is quantized.
//
// Errors: c10::Error with the name of the op, what was wanted and what came, before memory of any
// tensor is touched. Tensors of zero elements are accepted wherever torch accepts them.
namespace qnative::ops {

// ---- quantize ------------------------------------------------------------------------------

// y = clamp(rne(x * float(1 / scale)) + zero_point, quant_min, quant_max); NaN becomes the zero
// point, infinities saturate. x: float32; float16, bfloat16 and float64 are converted to float32
// first. dtype: uint8 or int8; quant_min, quant_max: by default the range of dtype. y has the shape
// and, as in torch's unary operators, the strides of x.
QNATIVE_API at::Tensor quantize_per_tensor(const at::Tensor& x, double scale, int64_t zero_point,
                                           at::ScalarType dtype,
                                           std::optional<int64_t> quant_min = std::nullopt,
                                           std::optional<int64_t> quant_max = std::nullopt);

// y = float(x - zero_point) * float(scale), float32. x: 8-bit.
QNATIVE_API at::Tensor dequantize_per_tensor(const at::Tensor& x, double scale, int64_t zero_point);

// As quantize_per_tensor with one scale and zero point for each index of dimension `axis`.
// scale: float32 or float64 [x.size(axis)]; zero_point: int32 or int64 [x.size(axis)].
QNATIVE_API at::Tensor quantize_per_channel(const at::Tensor& x, const at::Tensor& scale,
                                            const at::Tensor& zero_point, int64_t axis,
                                            at::ScalarType dtype,
                                            std::optional<int64_t> quant_min = std::nullopt,
                                            std::optional<int64_t> quant_max = std::nullopt);

// As dequantize_per_tensor along `axis`. No zero_point means zeros.
QNATIVE_API at::Tensor dequantize_per_channel(const at::Tensor& x, const at::Tensor& scale,
                                              const std::optional<at::Tensor>& zero_point,
                                              int64_t axis);

// (scale float64 [1], zero_point int64 [1]) that cover the values of x and zero: the arithmetic of
// torch.ops.quantized_decomposed.choose_qparams(_symmetric).tensor. x: float32, float16, bfloat16
// or float64, at least one element, all finite. symmetric: zero point 0 (128 for uint8).
QNATIVE_API std::tuple<at::Tensor, at::Tensor> choose_qparams(
    const at::Tensor& x, at::ScalarType dtype, std::optional<int64_t> quant_min = std::nullopt,
    std::optional<int64_t> quant_max = std::nullopt, double eps = 1.1920928955078125e-07,
    bool symmetric = false);

// ---- linear --------------------------------------------------------------------------------

// y[..., n] = act(sum_k real(x[..., k]) * real(weight[n, k]) + bias[n])
//
// x: 8-bit [..., K], any strides; weight: from linear_pack; weight_scale: float32 [N], positive;
// bias: float32 [N], real numbers; weight_shape: {N, K}, K <= 65793 (more could overflow int32).
// y: [..., N], contiguous; y_dtype uint8, int8 or float32.
//   acc = sum_k (x - x_zero_point) * weight, exact in int32
//   8-bit:   r / y_scale = fma(float(acc), float(x_scale * weight_scale[n] / y_scale),
//                              float(bias[n] / y_scale))
//   float32: r = fma(float(acc), float(x_scale * weight_scale[n]), bias[n])
QNATIVE_API at::Tensor linear(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                              const at::Tensor& weight, const at::Tensor& weight_scale,
                              const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                              double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                              std::string_view activation = "none",
                              at::ArrayRef<double> activation_args = {});

// int8 [N, K] -> the layout of the kernels, int8 of one dimension, the same bytes on every machine.
QNATIVE_API at::Tensor linear_pack(const at::Tensor& weight);

// The inverse of linear_pack: int8 weight_shape.
QNATIVE_API at::Tensor linear_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape);

// ---- linear from float to float ------------------------------------------------------------
// activation: also "gelu" (with erf), "gelu_tanh", "silu", "sigmoid", "tanh", "hardswish" or
// "hardsigmoid".

// linear with x quantized on the way, each row with a scale and a zero point of its own.
// x: float32 [..., K], any strides; weight, weight_scale, bias, weight_shape: as in linear.
// y: float32 [..., N], contiguous. For each row of x, with low and high the least and greatest of
// its values and 0, but for outliers:
//   scale      = max(float((high - low) / 255), 2^-126)
//   zero_point = min(rne(-low * float(1 / scale)), 255)
//   q          = clamp(rne(x * float(1 / scale)) + zero_point, 0, 255), of outliers not clamped
//   y          = act(fma(float(sum_k (q - zero_point) * weight), float(scale * weight_scale[n]),
//                        bias[n]))
// Outliers are the values beyond 8 times the mean magnitude of the row, where those are four at
// most; docs/numerics.md has the rule in full.
// repeated: for weights beyond 127 steps of their scale. weight_shape is then {N, K + R}, and its
// last R columns multiply the values of x at these R positions once more.
// A row that holds NaN or an infinity gives NaN; other rows do not change.
QNATIVE_API at::Tensor linear_dynamic(const at::Tensor& x, const at::Tensor& weight,
                                      const at::Tensor& weight_scale,
                                      const std::optional<at::Tensor>& bias,
                                      at::IntArrayRef weight_shape,
                                      std::string_view activation = "none",
                                      at::ArrayRef<double> activation_args = {},
                                      at::IntArrayRef repeated = {});

// linear with weights stored in half precision and float32 arithmetic. x: float32 [..., K], any
// strides; weight: from linear_fp16_pack; bias: float32 [N]; weight_shape: {N, K}. y: float32
// [..., N], contiguous.
//   y = act(acc + bias[n]), acc = 0, then fma(x[k], float(weight[n][k]), acc) for k = 0, 1, ...
QNATIVE_API at::Tensor linear_dynamic_fp16(const at::Tensor& x, const at::Tensor& weight,
                                           const std::optional<at::Tensor>& bias,
                                           at::IntArrayRef weight_shape,
                                           std::string_view activation = "none",
                                           at::ArrayRef<double> activation_args = {});

// The same with x and y in half precision: y is rounded once, at the end.
QNATIVE_API at::Tensor linear_fp16(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias,
                                   at::IntArrayRef weight_shape,
                                   std::string_view activation = "none",
                                   at::ArrayRef<double> activation_args = {});

// float16 or float32 [N, K] -> the layout of the kernels, float16 of one dimension, the same on
// every machine. Values of float32 beyond 65504 saturate.
QNATIVE_API at::Tensor linear_fp16_pack(const at::Tensor& weight);

// The inverse of linear_fp16_pack: float16 weight_shape.
QNATIVE_API at::Tensor linear_fp16_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape);

// ---- matmul --------------------------------------------------------------------------------

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

// ---- conv: see qnative/ops/conv.h ----------------------------------------------------------

// ---- float16 to float16: see qnative/ops/fp16.h --------------------------------------------

// ---- binary --------------------------------------------------------------------------------

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

// ---- unary ---------------------------------------------------------------------------------

// y = table[x - min], min = 0 for uint8 x and -128 for int8 x. x: 8-bit, any shape; table: 8-bit
// [256]. y: dtype of table, strides as in torch's unary operators.
QNATIVE_API at::Tensor lookup(const at::Tensor& x, const at::Tensor& table);

}  // namespace qnative::ops

#include "qnative/ops/conv.h"
#include "qnative/ops/norm.h"
