#pragma once

#include <ATen/ATen.h>

#include "common/checks.h"
#include "qnative/ops/quantize.h"

// Shared by the ops between real and 8-bit tensors.
namespace qnative::ops {

// float32, float16, bfloat16 or float64.
void check_real(const char* op, const at::Tensor& x, at::DeviceType device, const char* name = "x");

// x as float32: borrowed where it is that already.
inline c10::MaybeOwned<at::Tensor> as_float(const at::Tensor& x) {
  using Result = c10::MaybeOwned<at::Tensor>;
  return x.scalar_type() == at::kFloat ? Result::borrowed(x) : Result::owned(x.to(at::kFloat));
}

// 8-bit dtype, or int16 where that is allowed, and its range, or the part of it from quant_min to
// quant_max.
Range check_quant_range(const char* op, const QRange& range, Words words = Words::kRefused);

}  // namespace qnative::ops
