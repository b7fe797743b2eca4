#pragma once

// Vectors of eight floats: the verbs of simd/real_scalar.h, which describes them.

#include <immintrin.h>
#include <stdint.h>

namespace qnative {
namespace {

struct RealAvx2 {
  using F = __m256;
  static constexpr int kLanes = 8;
  static F set(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static F load_half(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store_half(uint16_t* p, F x) {
    const F nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(if_nan(x, nan, x), _MM_FROUND_TO_NEAREST_INT));
  }
  static F add(F x, F y) { return _mm256_add_ps(x, y); }
  static F sub(F x, F y) { return _mm256_sub_ps(x, y); }
  static F mul(F x, F y) { return _mm256_mul_ps(x, y); }
  static F div(F x, F y) { return _mm256_div_ps(x, y); }
  static F fma(F x, F y, F z) { return _mm256_fmadd_ps(x, y, z); }
  static F min(F x, F y) { return _mm256_min_ps(x, y); }
  static F max(F x, F y) { return _mm256_max_ps(x, y); }
  static F floor(F x) { return _mm256_floor_ps(x); }
  static F abs(F x) { return _mm256_andnot_ps(sign(), x); }
  static F copysign(F x, F y) { return _mm256_or_ps(abs(x), _mm256_and_ps(sign(), y)); }
  static F less(F x, F y, F a, F b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
  }
  static F if_nan(F x, F a, F b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  static F exp2_of(F t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),
                                                _mm256_set1_epi32(0x3f800000)));
  }

  // op on lanes l and l + 4, then l + 2 and l + 1.
  template <class Op>
  static float fold(F x, Op op) {
    x = op(x, _mm256_permute2f128_ps(x, x, 1));
    x = op(x, _mm256_permute_ps(x, 0b01001110));
    x = op(x, _mm256_permute_ps(x, 0b10110001));
    return _mm256_cvtss_f32(x);
  }

  struct D {
    __m256d a, b;
  };
  static D widen(F x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
            _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
  }
  static D add_wide(D x, D y) { return {_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b)}; }
  static void store_wide(double* p, D x) {
    _mm256_storeu_pd(p, x.a);
    _mm256_storeu_pd(p + 4, x.b);
  }
  static D divide(D x, double divisor) {
    const __m256d d = _mm256_set1_pd(divisor);
    return {_mm256_div_pd(x.a, d), _mm256_div_pd(x.b, d)};
  }
  static D scale(D x, double factor) {
    const __m256d f = _mm256_set1_pd(factor);
    return {_mm256_mul_pd(x.a, f), _mm256_mul_pd(x.b, f)};
  }
  static F narrow(D x) { return _mm256_set_m128(_mm256_cvtpd_ps(x.b), _mm256_cvtpd_ps(x.a)); }

 private:
  static F sign() { return _mm256_set1_ps(-0.0f); }
};

}  // namespace
}  // namespace qnative
