#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <tuple>

#include "qnative/export.h"
#include "qnative/types.h"

// From real numbers to 8-bit ones and back; qnative/ops.h has the words and rules.
//
//   const at::Tensor q = ops::quantize_per_tensor(x, 0.1, 128, at::kByte);
//
// Safe to call from any number of threads at the same time.
namespace qnative::ops {

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

}  // namespace qnative::ops
