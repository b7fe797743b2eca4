#pragma once

// Vectors of sixteen floats: the verbs of simd/real_scalar.h, which describes them.

#include <stdint.h>

#include "simd/intrinsics_avx512.h"

namespace qnative {
namespace {

struct RealAvx512 {
  using F = __m512;
  static constexpr int kLanes = 16;
  static F set(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static F load_half(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store_half(uint16_t* p, F x) {
    const F nan = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(if_nan(x, nan, x), _MM_FROUND_TO_NEAREST_INT));
  }
  static F add(F x, F y) { return _mm512_add_ps(x, y); }
  static F sub(F x, F y) { return _mm512_sub_ps(x, y); }
  static F mul(F x, F y) { return _mm512_mul_ps(x, y); }
  static F div(F x, F y) { return _mm512_div_ps(x, y); }
  static F fma(F x, F y, F z) { return _mm512_fmadd_ps(x, y, z); }
  static F min(F x, F y) { return _mm512_min_ps(x, y); }
  static F max(F x, F y) { return _mm512_max_ps(x, y); }
  static F floor(F x) { return _mm512_floor_ps(x); }
  static F abs(F x) { return masked(x, 0x7fffffff); }
  static F copysign(F x, F y) {
    return _mm512_castsi512_ps(
        _mm512_or_si512(_mm512_castps_si512(abs(x)),
                        _mm512_castps_si512(masked(y, static_cast<int32_t>(0x80000000)))));
  }
  static F less(F x, F y, F a, F b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
  }
  static F if_nan(F x, F a, F b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), b, a);
  }
  static F exp2_of(F t) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                                _mm512_set1_epi32(0x3f800000)));
  }

  // op on lanes l and l + 8, then l + 4, l + 2 and l + 1.
  template <class Op>
  static float fold(F x, Op op) {
    x = op(x, permuted(x, _mm512_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0)));
    x = op(x, permuted(x, _mm512_setr_epi32(4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
    x = op(x, _mm512_shuffle_ps(x, x, 0b01001110));
    x = op(x, _mm512_shuffle_ps(x, x, 0b10110001));
    return _mm_cvtss_f32(_mm512_castps512_ps128(x));
  }

  struct D {
    __m512d a, b;
  };
  static D widen(F x) {
    const __m512d bits = _mm512_castps_pd(x);
    return {_mm512_cvtps_pd(_mm256_castpd_ps(_mm512_castpd512_pd256(bits))),
            _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(bits, 1)))};
  }
  static D add_wide(D x, D y) { return {_mm512_add_pd(x.a, y.a), _mm512_add_pd(x.b, y.b)}; }
  static void store_wide(double* p, D x) {
    _mm512_storeu_pd(p, x.a);
    _mm512_storeu_pd(p + 8, x.b);
  }
  static D divide(D x, double divisor) {
    const __m512d d = _mm512_set1_pd(divisor);
    return {_mm512_div_pd(x.a, d), _mm512_div_pd(x.b, d)};
  }
  static D scale(D x, double factor) {
    const __m512d f = _mm512_set1_pd(factor);
    return {_mm512_mul_pd(x.a, f), _mm512_mul_pd(x.b, f)};
  }
  static F narrow(D x) {
    const __m256 a = _mm512_cvtpd_ps(x.a), b = _mm512_cvtpd_ps(x.b);
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_castps_pd(a)), _mm256_castps_pd(b), 1));
  }

 private:
  static F permuted(F x, __m512i order) {
    return _mm512_castsi512_ps(_mm512_permutexvar_epi32(order, _mm512_castps_si512(x)));
  }
  static F masked(F x, int32_t mask) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(mask)));
  }
};

}  // namespace
}  // namespace qnative
