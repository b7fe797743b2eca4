#pragma once

#include <stdint.h>

namespace qnative::attention {
namespace {

constexpr float kMinNormal = 1.17549435e-38f;  // 2^-126

struct RowScale {
  float scale, inverse;
  int32_t zero_point;
};

// The scale of a row with values in [low, high], low <= 0 <= high.
inline RowScale row_scale(float low, float high) {
  // A difference of floats may overflow float32; the inverse of a denormal scale would.
  const auto range = static_cast<float>((double{high} - double{low}) / 255);
  const float scale = range > kMinNormal ? range : kMinNormal;
  const float inverse = 1.0f / scale;
  constexpr float kRound = 12582912.0f;  // as in requantize.h
  const float zero_point = (-low * inverse + kRound) - kRound;
  return {scale, inverse, static_cast<int32_t>(zero_point < 255 ? zero_point : 255)};
}

}  // namespace
}  // namespace qnative::attention
