#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// From the scales of a product to the parameters of its epilogue, for each output channel:
//   multiplier[i] = float(x_scale * weight_scale[i] / y_scale)
//   bias[i]       = float(real_bias[i] / y_scale), 0 without real_bias
// computed in float64. All arrays have n elements.
namespace qnative::channel_params {

struct Args {
  const float* weight_scale;
  const float* real_bias;  // may be null
  int64_t n;
  double x_scale, y_scale;
  float* multiplier;
  float* bias;
};

struct Summary {
  bool valid;  // every weight_scale is positive and every multiplier finite
  bool small;  // every |multiplier| <= kSmallMultiplier and every |bias| <= kSmallBias
};

using Fn = Summary(const Args& args);

std::span<const Kernel<Fn>> scale_kernels();

}  // namespace qnative::channel_params
