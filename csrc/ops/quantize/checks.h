#pragma once

#include <ATen/ATen.h>

#include "common/checks.h"

// What the ops between real and 8-bit tensors share.
namespace qnative::ops {

// float32, float16, bfloat16 or float64.
void check_real(const char* op, const at::Tensor& x, at::DeviceType device, const char* name = "x");

// 8-bit dtype and its range, or the part of it from quant_min to quant_max.
Range check_quant_range(const char* op, at::ScalarType dtype, std::optional<int64_t> quant_min,
                        std::optional<int64_t> quant_max);

}  // namespace qnative::ops
