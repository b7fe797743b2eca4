#pragma once

// Sixteen floats as the verbs of simd/real_scalar.h, which describes them.

#include <stdint.h>

#include "simd/intrinsics_avx512.h"

namespace qnative {
namespace {

struct RealAvx512 {
  using F = __m512;
  static constexpr int kLanes = 16;
  static F set(float x) { return _mm512_set1_ps(x); }
  static F add(F x, F y) { return _mm512_add_ps(x, y); }
  static F sub(F x, F y) { return _mm512_sub_ps(x, y); }
  static F mul(F x, F y) { return _mm512_mul_ps(x, y); }
  static F div(F x, F y) { return _mm512_div_ps(x, y); }
  static F fma(F x, F y, F z) { return _mm512_fmadd_ps(x, y, z); }
  static F min(F x, F y) { return _mm512_min_ps(x, y); }
  static F max(F x, F y) { return _mm512_max_ps(x, y); }
  static F abs(F x) { return masked(x, 0x7fffffff); }
  static F copysign(F x, F y) {
    return _mm512_castsi512_ps(
        _mm512_or_si512(_mm512_castps_si512(abs(x)),
                        _mm512_castps_si512(masked(y, static_cast<int32_t>(0x80000000)))));
  }
  static F less(F x, F y, F a, F b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
  }
  static F exp2_of(F t) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                                _mm512_set1_epi32(0x3f800000)));
  }

 private:
  static F masked(F x, int32_t mask) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(mask)));
  }
};

}  // namespace
}  // namespace qnative
