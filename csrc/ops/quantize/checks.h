#pragma once

#include <ATen/ATen.h>

#include "common/checks.h"
#include "qnative/ops/quantize.h"

// Shared by the ops between real and 8-bit tensors.
namespace qnative::ops {

// float32, float16, bfloat16 or float64.
void check_real(const char* op, const at::Tensor& x, at::DeviceType device, const char* name = "x");

// 8-bit dtype and its range, or the part of it from quant_min to quant_max.
Range check_quant_range(const char* op, const QRange& range);

}  // namespace qnative::ops
