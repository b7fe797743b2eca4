#pragma once

#include <string.h>

#include "gemm_4bit.h"

// Single values of the packed layout.
namespace qnative::gemm_4bit {
namespace {

inline float bfloat16_to_float(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof(value));
  return value;
}

// Offset of the scale of column n in group g.
inline int64_t scale_offset(const Layout& layout, int64_t n, int64_t g) {
  return n / kPanelColumns * layout.panel_bytes() + (g * kPanelColumns + n % kPanelColumns) * 2;
}
[[maybe_unused]] inline uint16_t scale_bits(const uint8_t* packed, const Layout& layout, int64_t n,
                                            int64_t g) {
  uint16_t bits;
  memcpy(&bits, packed + scale_offset(layout, n, g), sizeof(bits));
  return bits;
}

// Where value k of group g of column n is.
struct Nibble {
  int64_t byte;
  int shift;
};
inline Nibble nibble_at(const Layout& layout, int64_t n, int64_t g, int64_t k) {
  const int64_t step = g * layout.group_steps() + k / kStepK;
  return {n / kPanelColumns * layout.panel_bytes() + layout.scale_bytes() + step * kStepBytes +
              n % kPanelColumns * 4 + k % 4,
          k % kStepK < 4 ? 0 : 4};
}
// The code with 8 added.
[[maybe_unused]] inline int32_t nibble_of(const uint8_t* packed, const Layout& layout, int64_t n,
                                          int64_t g, int64_t k) {
  const Nibble at = nibble_at(layout, n, g, k);
  return packed[at.byte] >> at.shift & 15;
}

}  // namespace
}  // namespace qnative::gemm_4bit
