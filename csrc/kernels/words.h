#pragma once

#include "requantize.h"

// int16 tensors: their zero point is 0. Requantize has zero point 0 and flip 0 for them, and lo and
// hi within [-32768, 32767].
namespace qnative {
namespace {

// y = clamp(rne(r), lo, hi); NaN becomes hi, as in requantize().
[[maybe_unused]] inline int16_t requantize_word(float r, const Requantize& q) {
  const auto hi = static_cast<float>(q.hi), lo = static_cast<float>(q.lo);
  r = r < hi ? r : hi;
  r = r > lo ? r : lo;
  constexpr float kRound = 12582912.0f;  // see requantize()
  r = (r + kRound) - kRound;
  return static_cast<int16_t>(r);
}

// y[i] = requantize(r) as uint8, or as int16.
[[maybe_unused]] inline void store_requantized(void* y, int64_t i, float r, const Requantize& q,
                                               bool is_word) {
  if (is_word) {
    static_cast<int16_t*>(y)[i] = requantize_word(r, q);
  } else {
    static_cast<uint8_t*>(y)[i] = requantize(r, q);
  }
}

// float(x[i] - zero point) of uint8 bytes xored with `flip`, or of int16 numbers.
[[maybe_unused]] inline float load_number(const void* x, int64_t i, uint8_t flip,
                                          int32_t zero_point, bool is_word) {
  if (is_word) return static_cast<float>(static_cast<const int16_t*>(x)[i]);
  return static_cast<float>((static_cast<const uint8_t*>(x)[i] ^ flip) - zero_point);
}

}  // namespace
}  // namespace qnative
