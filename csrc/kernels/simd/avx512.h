#pragma once

// Vectors of bytes of AVX-512: the verbs of simd/avx2.h, which describes them.

#include <stdint.h>

#include "simd/intrinsics_avx512.h"

namespace qnative {
namespace {

struct Avx512 {
  static constexpr int kBytes = 64;
  using Bytes = __m512i;
  struct Floats {
    __m512 a, b, c, d;
  };
  struct Ints {
    __m512i a, b, c, d;
  };
  struct Words {
    __m512i a, b;
  };

  // Bytes

  static Bytes load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static void store(uint8_t* p, Bytes x) { _mm512_storeu_si512(p, x); }
  static Bytes load(const uint8_t* p, int64_t n) { return _mm512_maskz_loadu_epi8(first(n), p); }
  static void store(uint8_t* p, Bytes x, int64_t n) { _mm512_mask_storeu_epi8(p, first(n), x); }
  template <int n>
  static Bytes load_first(const uint8_t* p) {
    static_assert(n == 64 || n == 32 || n == 16 || n == 8);
    if constexpr (n == 64) return load(p);
    return load(p, n);
  }
  // Not a masked store, which is slow on Zen 4.
  template <int n>
  static void store_first(uint8_t* p, Bytes x) {
    static_assert(n == 64 || n == 32 || n == 16 || n == 8);
    auto* q = reinterpret_cast<__m128i*>(p);
    if constexpr (n == 64) store(p, x);
    if constexpr (n == 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_castsi512_si256(x));
    if constexpr (n == 16) _mm_storeu_si128(q, _mm512_castsi512_si128(x));
    if constexpr (n == 8) _mm_storel_epi64(q, _mm512_castsi512_si128(x));
  }
  static Bytes bytes(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  static Bytes exclusive_or(Bytes x, Bytes y) { return _mm512_xor_si512(x, y); }
  static Bytes max_unsigned(Bytes x, Bytes y) { return _mm512_max_epu8(x, y); }
  static Bytes max_signed(Bytes x, Bytes y) { return _mm512_max_epi8(x, y); }
  static Bytes min_unsigned(Bytes x, Bytes y) { return _mm512_min_epu8(x, y); }
  static Bytes spread(Bytes x) { return _mm512_permutexvar_epi32(transposed(), x); }
  static Bytes collect(Bytes x) { return _mm512_permutexvar_epi32(transposed(), x); }

  // Floats

  static constexpr float kBias = 8388608.0f;
  static Floats widen(Bytes x) {
    const __m512i zero = _mm512_setzero_si512(), exponent = _mm512_set1_epi16(0x4b00);
    const __m512i lo = _mm512_unpacklo_epi8(x, zero), hi = _mm512_unpackhi_epi8(x, zero);
    return {_mm512_castsi512_ps(_mm512_unpacklo_epi16(lo, exponent)),
            _mm512_castsi512_ps(_mm512_unpackhi_epi16(lo, exponent)),
            _mm512_castsi512_ps(_mm512_unpacklo_epi16(hi, exponent)),
            _mm512_castsi512_ps(_mm512_unpackhi_epi16(hi, exponent))};
  }
  static Floats load(const float* p) {
    return {_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16), _mm512_loadu_ps(p + 32),
            _mm512_loadu_ps(p + 48)};
  }
  static Floats load(const float* p, int64_t n) {
    const auto mask = first(n);
    return {_mm512_maskz_loadu_ps(part(mask, 0), p), _mm512_maskz_loadu_ps(part(mask, 1), p + 16),
            _mm512_maskz_loadu_ps(part(mask, 2), p + 32),
            _mm512_maskz_loadu_ps(part(mask, 3), p + 48)};
  }
  static void store(float* p, Floats x) {
    _mm512_storeu_ps(p, x.a);
    _mm512_storeu_ps(p + 16, x.b);
    _mm512_storeu_ps(p + 32, x.c);
    _mm512_storeu_ps(p + 48, x.d);
  }
  static void store(float* p, Floats x, int64_t n) {
    const auto mask = first(n);
    _mm512_mask_storeu_ps(p, part(mask, 0), x.a);
    _mm512_mask_storeu_ps(p + 16, part(mask, 1), x.b);
    _mm512_mask_storeu_ps(p + 32, part(mask, 2), x.c);
    _mm512_mask_storeu_ps(p + 48, part(mask, 3), x.d);
  }
  static Floats floats(float x) {
    const __m512 v = _mm512_set1_ps(x);
    return {v, v, v, v};
  }
  static Floats add(Floats x, Floats y) {
    return {_mm512_add_ps(x.a, y.a), _mm512_add_ps(x.b, y.b), _mm512_add_ps(x.c, y.c),
            _mm512_add_ps(x.d, y.d)};
  }
  static Floats sub(Floats x, Floats y) {
    return {_mm512_sub_ps(x.a, y.a), _mm512_sub_ps(x.b, y.b), _mm512_sub_ps(x.c, y.c),
            _mm512_sub_ps(x.d, y.d)};
  }
  static Floats mul(Floats x, Floats y) {
    return {_mm512_mul_ps(x.a, y.a), _mm512_mul_ps(x.b, y.b), _mm512_mul_ps(x.c, y.c),
            _mm512_mul_ps(x.d, y.d)};
  }
  static Floats fma(Floats x, Floats y, Floats z) {
    return {_mm512_fmadd_ps(x.a, y.a, z.a), _mm512_fmadd_ps(x.b, y.b, z.b),
            _mm512_fmadd_ps(x.c, y.c, z.c), _mm512_fmadd_ps(x.d, y.d, z.d)};
  }
  static Floats min(Floats x, Floats y) {
    return {_mm512_min_ps(x.a, y.a), _mm512_min_ps(x.b, y.b), _mm512_min_ps(x.c, y.c),
            _mm512_min_ps(x.d, y.d)};
  }
  static Floats max(Floats x, Floats y) {
    return {_mm512_max_ps(x.a, y.a), _mm512_max_ps(x.b, y.b), _mm512_max_ps(x.c, y.c),
            _mm512_max_ps(x.d, y.d)};
  }
  static bool has_nan(Floats x) {
    return (_mm512_cmp_ps_mask(x.a, x.b, _CMP_UNORD_Q) |
            _mm512_cmp_ps_mask(x.c, x.d, _CMP_UNORD_Q)) != 0;
  }
  static Floats nan_to_zero(Floats x) {
    return {nan_to_zero(x.a), nan_to_zero(x.b), nan_to_zero(x.c), nan_to_zero(x.d)};
  }

  // Ints

  static Ints load(const int32_t* p) {
    return {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 16), _mm512_loadu_si512(p + 32),
            _mm512_loadu_si512(p + 48)};
  }
  static Ints load(const int32_t* p, int64_t n) {
    const auto mask = first(n);
    return {_mm512_maskz_loadu_epi32(part(mask, 0), p),
            _mm512_maskz_loadu_epi32(part(mask, 1), p + 16),
            _mm512_maskz_loadu_epi32(part(mask, 2), p + 32),
            _mm512_maskz_loadu_epi32(part(mask, 3), p + 48)};
  }
  static void store(int32_t* p, Ints x) {
    _mm512_storeu_si512(p, x.a);
    _mm512_storeu_si512(p + 16, x.b);
    _mm512_storeu_si512(p + 32, x.c);
    _mm512_storeu_si512(p + 48, x.d);
  }
  static Ints ints(int32_t x) {
    const __m512i v = _mm512_set1_epi32(x);
    return {v, v, v, v};
  }
  static Ints add(Ints x, Ints y) {
    return {_mm512_add_epi32(x.a, y.a), _mm512_add_epi32(x.b, y.b), _mm512_add_epi32(x.c, y.c),
            _mm512_add_epi32(x.d, y.d)};
  }
  static Ints round(Floats x) {
    return {_mm512_cvtps_epi32(x.a), _mm512_cvtps_epi32(x.b), _mm512_cvtps_epi32(x.c),
            _mm512_cvtps_epi32(x.d)};
  }
  static Floats to_floats(Ints x) {
    return {_mm512_cvtepi32_ps(x.a), _mm512_cvtepi32_ps(x.b), _mm512_cvtepi32_ps(x.c),
            _mm512_cvtepi32_ps(x.d)};
  }
  static Bytes pack(Ints x, int offset) {
    const __m512i v = _mm512_set1_epi16(static_cast<int16_t>(offset));
    return _mm512_packus_epi16(_mm512_adds_epi16(_mm512_packs_epi32(x.a, x.b), v),
                               _mm512_adds_epi16(_mm512_packs_epi32(x.c, x.d), v));
  }

  // Words

  static Words words(int x) {
    const __m512i v = _mm512_set1_epi16(static_cast<int16_t>(x));
    return {v, v};
  }
  static Words add_bytes(Words sum, Bytes x, Bytes y) {
    const __m512i one = _mm512_set1_epi8(1);
    return {_mm512_add_epi16(sum.a, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(x, y), one)),
            _mm512_add_epi16(sum.b, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(x, y), one))};
  }
  static Ints add_words(Ints sum, Words x) {
    const __m512i zero = _mm512_setzero_si512();
    return {_mm512_add_epi32(sum.a, _mm512_unpacklo_epi16(x.a, zero)),
            _mm512_add_epi32(sum.b, _mm512_unpackhi_epi16(x.a, zero)),
            _mm512_add_epi32(sum.c, _mm512_unpacklo_epi16(x.b, zero)),
            _mm512_add_epi32(sum.d, _mm512_unpackhi_epi16(x.b, zero))};
  }
  static Ints add_squares(Ints sum, Bytes x, Bytes y) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i lo = _mm512_unpacklo_epi8(x, y), hi = _mm512_unpackhi_epi8(x, y);
    const __m512i a = _mm512_unpacklo_epi8(lo, zero), b = _mm512_unpackhi_epi8(lo, zero);
    const __m512i c = _mm512_unpacklo_epi8(hi, zero), d = _mm512_unpackhi_epi8(hi, zero);
    return {_mm512_add_epi32(sum.a, _mm512_madd_epi16(a, a)),
            _mm512_add_epi32(sum.b, _mm512_madd_epi16(b, b)),
            _mm512_add_epi32(sum.c, _mm512_madd_epi16(c, c)),
            _mm512_add_epi32(sum.d, _mm512_madd_epi16(d, d))};
  }

 private:
  static __mmask64 first(int64_t n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }
  static __mmask16 part(__mmask64 mask, int i) { return static_cast<__mmask16>(mask >> 16 * i); }
  static __m512 nan_to_zero(__m512 x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x);
  }
  static __m512i transposed() {
    return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  }
};

}  // namespace
}  // namespace qnative
