#pragma once

#include <cstdint>

namespace qnative::ops {

// The least and the greatest of x[0..n), n >= 1; both NaN if a value is NaN. Zeros are +0.
struct Extremes {
  float min, max;
};
Extremes find_extremes(const float* x, int64_t n);

}  // namespace qnative::ops
