#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

// Scale and zero point of float32 values that are quantized to uint8 at run time.
namespace qnative::ops {

struct DynamicQParams {
  float scale, inverse_scale;
  int32_t zero_point;
};

// low <= 0 <= high, finite.
inline DynamicQParams dynamic_qparams(float low, float high) {
  // A difference of floats may overflow float32; the inverse of a denormal scale would.
  const auto scale = std::max(static_cast<float>((double{high} - double{low}) / 255),
                              std::numeric_limits<float>::min());
  const float inverse_scale = 1.0f / scale;
  const auto zero_point =
      static_cast<int32_t>(std::min(std::nearbyint(-low * inverse_scale), 255.0f));
  return {scale, inverse_scale, zero_point};
}

}  // namespace qnative::ops
