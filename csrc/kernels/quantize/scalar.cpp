#include <cmath>
#include <limits>

#include "quantize.h"
#include "words.h"

namespace qnative::quantize {
namespace {

float scaled(float x, float inverse_scale) {
  const float r = x * inverse_scale;
  return r == r ? r : 0.0f;
}

uint8_t quantize_one(float x, float inverse_scale, const Requantize& q) {
  return requantize(scaled(x, inverse_scale), q);
}

}  // namespace

void quantize_scalar(const float* x, uint8_t* y, int64_t n, float inverse_scale,
                     const Requantize& q) {
  for (int64_t i = 0; i < n; ++i) y[i] = quantize_one(x[i], inverse_scale, q);
}

void dequantize_scalar(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                       uint8_t flip) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>((x[i] ^ flip) - zero_point) * scale;
}

void quantize_words_scalar(const float* x, int16_t* y, int64_t n, float inverse_scale,
                           const Requantize& q) {
  for (int64_t i = 0; i < n; ++i) y[i] = requantize_word(scaled(x[i], inverse_scale), q);
}

void dequantize_words_scalar(const int16_t* x, float* y, int64_t n, float scale) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]) * scale;
}

void quantize_each_scalar(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                          const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = quantize_one(x[i], inverse_scale[i], Requantize{zero_point[i], lo, hi, flip});
  }
}

void dequantize_each_scalar(const uint8_t* x, float* y, int64_t n, const float* scale,
                            const int32_t* zero_point, uint8_t flip) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>((x[i] ^ flip) - zero_point[i]) * scale[i];
  }
}

Summary summarize_scalar(const float* x, int64_t n) {
  float low = x[0], high = x[0];
  float lanes[32] = {};
  for (int64_t i = 0; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
    lanes[i % 32] += std::fabs(x[i]);
  }
  for (int width = 16; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  // A sum of magnitudes is NaN only if x has a NaN.
  if (lanes[0] != lanes[0]) return {kNan, kNan, kNan};
  // -0 + 0 is +0.
  return {low + 0.0f, high + 0.0f, lanes[0]};
}

int64_t find_above_scalar(const float* x, int64_t n, float threshold, int32_t* positions,
                          int64_t limit) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!(std::fabs(x[i]) > threshold)) continue;
    if (count == limit) return limit + 1;
    positions[count++] = static_cast<int32_t>(i);  // n < 2^31
  }
  return count;
}

}  // namespace qnative::quantize
