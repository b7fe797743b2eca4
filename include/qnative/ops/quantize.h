#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"
#include "qnative/types.h"

// From real numbers to 8-bit and int16 ones and back; qnative/ops.h has the words and rules.
//
//   const QTensor x = ops::quantize_per_tensor(real, ops::choose_qparams(real));
//   const at::Tensor back = ops::dequantize_per_tensor(x);
//
// Safe to call from any number of threads at the same time.
namespace qnative {

// The numbers that quantize may give.
struct QRange {
  at::ScalarType dtype = at::kByte;       // uint8 or int8; int16 for quantize_per_tensor
  std::optional<int64_t> quant_min = {};  // the least number of dtype
  std::optional<int64_t> quant_max = {};  // the largest number of dtype
};

// QParams for each index of a dimension of x.
struct ChannelQParams {
  at::Tensor scale;                      // float32 or float64 [x.size(axis)]
  std::optional<at::Tensor> zero_point;  // int32 or int64 [x.size(axis)]; none: zeros
  int64_t axis;
};

}  // namespace qnative

namespace qnative::ops {

// y = clamp(rne(x * float(1 / scale)) + zero_point, quant_min, quant_max); NaN becomes the zero
// point, infinities saturate. x: float32; float16, bfloat16 and float64 are converted to float32
// first. y has the shape and, as in torch's unary operators, the strides of x.
QNATIVE_API QTensor quantize_per_tensor(const at::Tensor& x, const QParams& qparams,
                                        const QRange& range = {});

// y = float(x - zero_point) * float(scale), float32. x: 8-bit or int16.
QNATIVE_API at::Tensor dequantize_per_tensor(const QTensor& x);

// x in the qparams and the dtype of y; x and y: 8-bit or int16; no activation but bounds. y has the
// strides that quantize_per_tensor gives.
//   r / y_scale = float(x - x_zero_point) * float(x_scale / y_scale)
QNATIVE_API QTensor requantize(const QTensor& x, const OutputSpec& y);

// The same with the qparams of the index in dimension `axis`.
QNATIVE_API at::Tensor quantize_per_channel(const at::Tensor& x, const ChannelQParams& qparams,
                                            const QRange& range = {});
QNATIVE_API at::Tensor dequantize_per_channel(const at::Tensor& x, const ChannelQParams& qparams);

// Qparams that cover the values of x and zero: the arithmetic of
// torch.ops.quantized_decomposed.choose_qparams(_symmetric).tensor. x: float32, float16, bfloat16
// or float64, at least one element, all finite. eps: the least scale, a positive normal float32.
// symmetric: zero point 0 (128 for uint8).
QNATIVE_API QParams choose_qparams(const at::Tensor& x, const QRange& range = {},
                                   double eps = 1.1920928955078125e-07, bool symmetric = false);

}  // namespace qnative::ops
