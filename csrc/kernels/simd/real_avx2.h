#pragma once

// Eight floats as the verbs of simd/real_scalar.h, which describes them.

#include <immintrin.h>
#include <stdint.h>

namespace qnative {
namespace {

struct RealAvx2 {
  using F = __m256;
  static constexpr int kLanes = 8;
  static F set(float x) { return _mm256_set1_ps(x); }
  static F add(F x, F y) { return _mm256_add_ps(x, y); }
  static F sub(F x, F y) { return _mm256_sub_ps(x, y); }
  static F mul(F x, F y) { return _mm256_mul_ps(x, y); }
  static F div(F x, F y) { return _mm256_div_ps(x, y); }
  static F fma(F x, F y, F z) { return _mm256_fmadd_ps(x, y, z); }
  static F min(F x, F y) { return _mm256_min_ps(x, y); }
  static F max(F x, F y) { return _mm256_max_ps(x, y); }
  static F abs(F x) { return _mm256_andnot_ps(sign(), x); }
  static F copysign(F x, F y) { return _mm256_or_ps(abs(x), _mm256_and_ps(sign(), y)); }
  static F less(F x, F y, F a, F b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
  }
  static F exp2_of(F t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                                _mm256_set1_epi32(0x3f800000)));
  }

 private:
  static F sign() { return _mm256_set1_ps(-0.0f); }
};

}  // namespace
}  // namespace qnative
