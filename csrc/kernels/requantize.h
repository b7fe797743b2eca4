#pragma once

#include <cstdint>

// The one definition of how a real number becomes an 8-bit one. Every ISA gives these bits.
//
// Kernels work on uint8. An int8 tensor is the uint8 tensor with 128 added to every value and to
// its zero point, which is the same byte with its top bit flipped: `flip` is 0x80 for int8 output
// and 0 for uint8 output, and `zero_point`, `lo`, `hi` are those of the uint8 tensor.
namespace qnative {

struct Requantize {
  int32_t zero_point;  // 0..255
  int32_t lo;          // 0..255, relu and clamp are bounds
  int32_t hi;          // lo..255
  uint8_t flip;        // 0x80 for int8 output
};

// Parameters are small if |multiplier| <= kSmallMultiplier and |bias| <= kSmallBias. Then r fits in
// int32 whatever the sum is, the upper clamp may follow the rounding, and kernels need fewer steps
// for the same bits.
constexpr float kSmallMultiplier = 0.25f;
constexpr float kSmallBias = 536870912.0f;  // 2^29

namespace {

// Whether packing with unsigned saturation is the whole clamp. small: of multiplier and bias.
[[maybe_unused]] inline bool saturates(const Requantize& q, bool small) {
  return small && q.zero_point == 0 && q.lo == 0 && q.hi == 255 && q.flip == 0;
}

// y = clamp(rne(r) + zero_point, lo, hi) ^ flip, rne = round half to even.
// r is clamped as a float first, because it may not fit in int32. NaN becomes hi, as in
// `r < hi ? r : hi` (minps).
[[maybe_unused]] inline uint8_t requantize(float r, const Requantize& q) {
  const float hi = static_cast<float>(q.hi - q.zero_point);
  const float lo = static_cast<float>(q.lo - q.zero_point);
  r = r < hi ? r : hi;
  r = r > lo ? r : lo;
  // 1.5 * 2^23: the sum has no fraction bits, so the addition rounds half to even.
  constexpr float kRound = 12582912.0f;
  r = (r + kRound) - kRound;
  return static_cast<uint8_t>(static_cast<int32_t>(r) + q.zero_point) ^ q.flip;
}

}  // namespace
}  // namespace qnative
