#pragma once

#include <cstdint>
#include <cstring>

// IEEE half precision as its bits, converted as F16C does: half to even, denormals kept.
namespace qnative {
namespace {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16, magnitude = half & 0x7fffU;
  float value;
  if (magnitude < 0x0400U) {
    value = static_cast<float>(magnitude) * 0x1p-24f;
  } else {
    uint32_t bits = (magnitude << 13) + 0x38000000U;
    if (magnitude >= 0x7c00U) bits += 0x38000000U;  // infinity, NaN
    if (magnitude > 0x7c00U) bits |= 0x00400000U;   // quiet
    memcpy(&value, &bits, sizeof(value));
  }
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  bits |= sign;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint16_t float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  bits &= 0x7fffffffU;
  uint32_t magnitude;
  if (bits > 0x7f800000U) {
    magnitude = 0x7e00U | ((bits >> 13) & 0x03ffU);
  } else if (bits >= 0x477ff000U) {  // 65520, halfway between 65504 and 65536
    magnitude = 0x7c00U;
  } else if (bits < 0x38800000U) {  // 2^-14
    // One ulp of [0.5, 1) is the smallest half, so the addition rounds.
    float shifted;
    memcpy(&shifted, &bits, sizeof(shifted));
    shifted += 0.5f;
    memcpy(&magnitude, &shifted, sizeof(magnitude));
    magnitude -= 0x3f000000U;
  } else {
    magnitude = (bits - 0x38000000U + 0x0fffU + ((bits >> 13) & 1U)) >> 13;
  }
  return static_cast<uint16_t>(sign | magnitude);
}

}  // namespace
}  // namespace qnative
