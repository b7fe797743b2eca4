#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fit.h"
#include "gemm_4bit.h"
#include "panel.h"
#include "simd/real_scalar.h"

namespace qnative::gemm_4bit {
namespace {

constexpr float kDivisors[] = {5.5f, 6.25f, 6.75f, 7.25f, 7.75f, 8.0f, 8.25f, 8.75f};
static_assert(kCandidates == 2 * std::size(kDivisors));

uint16_t float_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  // Half to even; value is finite.
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct Candidates {
  uint16_t bits[kCandidates];
  float scale[kCandidates];  // in units of peak

  void set(int j, float value, float peak) {
    const float least = std::copysign(std::numeric_limits<float>::min(), value);
    const float real = value * peak;
    bits[j] = float_to_bfloat16(std::abs(real) < std::abs(least) ? least : real);
    scale[j] = bfloat16_to_float(bits[j]) / peak;
  }
};

struct Best {
  float error = std::numeric_limits<float>::infinity();
  uint16_t bits = 0;
  float scale = 0;

  void take(const Candidates& candidates, const Fit& fit) {
    for (int j = 0; j < kCandidates; ++j) {
      if (fit.error[j] < error) *this = {fit.error[j], candidates.bits[j], candidates.scale[j]};
    }
  }
};

}  // namespace

void quantize_group(FitFn& fit, const float* w, int64_t n, int8_t* code, uint16_t* scale) {
  float peak = 0;
  for (int64_t k = 0; k < n; ++k) peak = std::max(peak, std::abs(w[k]));
  if (peak == 0) {
    std::fill_n(code, n, int8_t{0});
    *scale = float_to_bfloat16(1);
    return;
  }
  Candidates candidates;
  for (int j = 0; j < kCandidates; ++j) {
    candidates.set(j, (j % 2 == 0 ? 1.0f : -1.0f) / kDivisors[j / 2], peak);
  }
  Fit found;
  Best best;
  fit(w, n, peak, candidates.scale, found);
  best.take(candidates, found);
  for (int j = 0; j < kCandidates; ++j) {
    if (found.square[j] > 0) candidates.set(j, found.product[j] / found.square[j], peak);
  }
  fit(w, n, peak, candidates.scale, found);
  best.take(candidates, found);
  const float inverse = 1 / best.scale;
  for (int64_t k = 0; k < n; ++k) {
    code[k] = static_cast<int8_t>(code_of<RealScalar>(w[k] / peak, inverse));
  }
  *scale = best.bits;
}

void pack(const int8_t* code, const uint16_t* scale, const Layout& layout, int64_t n,
          uint8_t* packed) {
  std::memset(packed, 0, layout.packed_bytes(n));
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t g = 0; g < layout.groups(); ++g) {
      std::memcpy(packed + scale_offset(layout, column, g), scale++, sizeof(*scale));
      const int64_t size = g + 1 < layout.groups() ? layout.group : layout.last_group();
      for (int64_t k = 0; k < size; ++k) {
        const Nibble at = nibble_at(layout, column, g, k);
        packed[at.byte] |= static_cast<uint8_t>((*code++ + 8) << at.shift);
      }
    }
  }
}

void unpack(const uint8_t* packed, const Layout& layout, int64_t n, int8_t* code, uint16_t* scale) {
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t g = 0; g < layout.groups(); ++g) {
      *scale++ = scale_bits(packed, layout, column, g);
      const int64_t size = g + 1 < layout.groups() ? layout.group : layout.last_group();
      for (int64_t k = 0; k < size; ++k) {
        *code++ = static_cast<int8_t>(nibble_of(packed, layout, column, g, k) - 8);
      }
    }
  }
}

}  // namespace qnative::gemm_4bit
