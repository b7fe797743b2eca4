#pragma once

// A vector of one float32: the verbs of simd/real_avx2.h and simd/real_avx512.h, and the
// specification of everything written with them.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "half.h"

namespace qnative {
namespace {

struct RealScalar {
  using F = float;
  static constexpr int kLanes = 1;
  static F set(float x) { return x; }
  static F load(const float* p) { return *p; }
  static void store(float* p, F x) { *p = x; }
  static F load_half(const uint16_t* p) { return half_to_float(*p); }
  // Every NaN becomes 0x7e00.
  static void store_half(uint16_t* p, F x) {
    *p = __builtin_isnan(x) ? uint16_t{0x7e00} : float_to_half(x);
  }
  static F add(F x, F y) { return x + y; }
  static F sub(F x, F y) { return x - y; }
  static F mul(F x, F y) { return x * y; }
  static F div(F x, F y) { return x / y; }
  static F fma(F x, F y, F z) { return fmaf(x, y, z); }
  // y if one of them is NaN.
  static F min(F x, F y) { return x < y ? x : y; }
  static F max(F x, F y) { return x > y ? x : y; }
  static F floor(F x) { return floorf(x); }
  static F abs(F x) { return from_bits(bits(x) & 0x7fffffffU); }
  // The magnitude of x with the sign of y.
  static F copysign(F x, F y) {
    return from_bits((bits(x) & 0x7fffffffU) | (bits(y) & 0x80000000U));
  }
  // x < y ? a : b; b if one of x and y is NaN.
  static F less(F x, F y, F a, F b) { return x < y ? a : b; }
  // isnan(x) ? a : b
  static F if_nan(F x, F a, F b) { return __builtin_isnan(x) ? a : b; }
  // 2^n for n = -126..127, and infinity for 128: t = 1.5 * 2^23 + n.
  static F exp2_of(F t) { return from_bits((bits(t) << 23) + 0x3f800000U); }

  // The same numbers in float64, for sums.
  using D = double;
  static D widen(F x) { return x; }
  static D add_wide(D x, D y) { return x + y; }
  static void store_wide(double* p, D x) { *p = x; }
  static D divide(D x, double divisor) { return x / divisor; }
  static D scale(D x, double factor) { return x * factor; }
  static F narrow(D x) { return static_cast<F>(x); }

 private:
  static uint32_t bits(float x) {
    uint32_t b;
    memcpy(&b, &x, sizeof(b));
    return b;
  }
  static float from_bits(uint32_t b) {
    float x;
    memcpy(&x, &b, sizeof(x));
    return x;
  }
};

}  // namespace
}  // namespace qnative
