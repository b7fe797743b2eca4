#pragma once

#include <ATen/ATen.h>

#include "common/activation.h"

namespace qnative::ops {

// Applies bounds to float32 results: the kernels have none.
inline void clamp_floats(const at::Tensor& y, const Activation& bounds) {
  if (!has_bounds(bounds)) return;
  y.clamp_(static_cast<float>(bounds.min), static_cast<float>(bounds.max));
}

}  // namespace qnative::ops
