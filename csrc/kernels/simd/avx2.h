#pragma once

// Vectors of bytes of AVX2: the verbs that the body.h files use. simd/avx512.h has the same verbs;
// simd/real_*.h has those of plain vectors of floats.
//
// One vector of bytes becomes four vectors of floats or int32, which therefore come in fours.
// `widen` and `pack` are inverses, and their order of elements is their own; `spread` before widen
// and `collect` after pack give the order of memory.

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace qnative {
namespace {

struct Avx2 {
  static constexpr int kBytes = 32;
  using Bytes = __m256i;
  struct Floats {
    __m256 a, b, c, d;
  };
  struct Ints {
    __m256i a, b, c, d;
  };
  struct Words {
    __m256i a, b;
  };

  // Bytes

  static Bytes load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(uint8_t* p, Bytes x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
  // The first n <= kBytes bytes; the others are 0.
  static Bytes load(const uint8_t* p, int64_t n) {
    uint8_t buffer[kBytes] = {};
    memcpy(buffer, p, n);
    return load(buffer);
  }
  static void store(uint8_t* p, Bytes x, int64_t n) {
    uint8_t buffer[kBytes];
    store(buffer, x);
    memcpy(p, buffer, n);
  }
  // The same for a constant n; bytes from n on are undefined.
  template <int n>
  static Bytes load_first(const uint8_t* p) {
    static_assert(n == 32 || n == 16 || n == 8);
    if constexpr (n == 32) return load(p);
    const auto* q = reinterpret_cast<const __m128i*>(p);
    return _mm256_zextsi128_si256(n == 16 ? _mm_loadu_si128(q) : _mm_loadl_epi64(q));
  }
  template <int n>
  static void store_first(uint8_t* p, Bytes x) {
    static_assert(n == 32 || n == 16 || n == 8);
    auto* q = reinterpret_cast<__m128i*>(p);
    if constexpr (n == 32) store(p, x);
    if constexpr (n == 16) _mm_storeu_si128(q, _mm256_castsi256_si128(x));
    if constexpr (n == 8) _mm_storel_epi64(q, _mm256_castsi256_si128(x));
  }
  static Bytes bytes(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static Bytes exclusive_or(Bytes x, Bytes y) { return _mm256_xor_si256(x, y); }
  static Bytes max_unsigned(Bytes x, Bytes y) { return _mm256_max_epu8(x, y); }
  static Bytes max_signed(Bytes x, Bytes y) { return _mm256_max_epi8(x, y); }
  static Bytes min_unsigned(Bytes x, Bytes y) { return _mm256_min_epu8(x, y); }
  static Bytes spread(Bytes x) {
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  }
  static Bytes collect(Bytes x) {
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  // Floats

  // kBias + x, exactly: puts the byte below the exponent of 2^23, which costs less than widening to
  // int32 and converting.
  static constexpr float kBias = 8388608.0f;
  static Floats widen(Bytes x) {
    const __m256i zero = _mm256_setzero_si256(), exponent = _mm256_set1_epi16(0x4b00);
    const __m256i lo = _mm256_unpacklo_epi8(x, zero), hi = _mm256_unpackhi_epi8(x, zero);
    return {_mm256_castsi256_ps(_mm256_unpacklo_epi16(lo, exponent)),
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(lo, exponent)),
            _mm256_castsi256_ps(_mm256_unpacklo_epi16(hi, exponent)),
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(hi, exponent))};
  }
  static Floats load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), _mm256_loadu_ps(p + 16),
            _mm256_loadu_ps(p + 24)};
  }
  static Floats load(const float* p, int64_t n) {
    float buffer[kBytes] = {};
    memcpy(buffer, p, n * sizeof(float));
    return load(buffer);
  }
  static void store(float* p, Floats x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
    _mm256_storeu_ps(p + 16, x.c);
    _mm256_storeu_ps(p + 24, x.d);
  }
  static void store(float* p, Floats x, int64_t n) {
    float buffer[kBytes];
    store(buffer, x);
    memcpy(p, buffer, n * sizeof(float));
  }
  static Floats floats(float x) {
    const __m256 v = _mm256_set1_ps(x);
    return {v, v, v, v};
  }
  static Floats add(Floats x, Floats y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b), _mm256_add_ps(x.c, y.c),
            _mm256_add_ps(x.d, y.d)};
  }
  static Floats sub(Floats x, Floats y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b), _mm256_sub_ps(x.c, y.c),
            _mm256_sub_ps(x.d, y.d)};
  }
  static Floats mul(Floats x, Floats y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b), _mm256_mul_ps(x.c, y.c),
            _mm256_mul_ps(x.d, y.d)};
  }
  static Floats fma(Floats x, Floats y, Floats z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b),
            _mm256_fmadd_ps(x.c, y.c, z.c), _mm256_fmadd_ps(x.d, y.d, z.d)};
  }
  // x < y ? x : y and x > y ? x : y: y if one of them is NaN.
  static Floats min(Floats x, Floats y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b), _mm256_min_ps(x.c, y.c),
            _mm256_min_ps(x.d, y.d)};
  }
  static Floats max(Floats x, Floats y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b), _mm256_max_ps(x.c, y.c),
            _mm256_max_ps(x.d, y.d)};
  }
  static bool has_nan(Floats x) {
    return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(x.a, x.b, _CMP_UNORD_Q),
                                           _mm256_cmp_ps(x.c, x.d, _CMP_UNORD_Q))) != 0;
  }
  static Floats nan_to_zero(Floats x) {
    return {nan_to_zero(x.a), nan_to_zero(x.b), nan_to_zero(x.c), nan_to_zero(x.d)};
  }

  // Ints

  static Ints load(const int32_t* p) {
    const auto* q = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1), _mm256_loadu_si256(q + 2),
            _mm256_loadu_si256(q + 3)};
  }
  static Ints load(const int32_t* p, int64_t n) {
    int32_t buffer[kBytes] = {};
    memcpy(buffer, p, n * sizeof(int32_t));
    return load(buffer);
  }
  static void store(int32_t* p, Ints x) {
    auto* q = reinterpret_cast<__m256i*>(p);
    _mm256_storeu_si256(q, x.a);
    _mm256_storeu_si256(q + 1, x.b);
    _mm256_storeu_si256(q + 2, x.c);
    _mm256_storeu_si256(q + 3, x.d);
  }
  static Ints ints(int32_t x) {
    const __m256i v = _mm256_set1_epi32(x);
    return {v, v, v, v};
  }
  static Ints add(Ints x, Ints y) {
    return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b), _mm256_add_epi32(x.c, y.c),
            _mm256_add_epi32(x.d, y.d)};
  }
  // Half to even; INT32_MIN if the float does not fit in int32, whatever its sign.
  static Ints round(Floats x) {
    return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b), _mm256_cvtps_epi32(x.c),
            _mm256_cvtps_epi32(x.d)};
  }
  static Floats to_floats(Ints x) {
    return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b), _mm256_cvtepi32_ps(x.c),
            _mm256_cvtepi32_ps(x.d)};
  }
  // Saturates to int16, adds `offset` (0..255), saturates to uint8.
  static Bytes pack(Ints x, int offset) {
    const __m256i v = _mm256_set1_epi16(static_cast<int16_t>(offset));
    return _mm256_packus_epi16(_mm256_adds_epi16(_mm256_packs_epi32(x.a, x.b), v),
                               _mm256_adds_epi16(_mm256_packs_epi32(x.c, x.d), v));
  }

  // Words: sums of bytes

  static Words words(int x) {
    const __m256i v = _mm256_set1_epi16(static_cast<int16_t>(x));
    return {v, v};
  }
  // sum + x + y modulo 2^16, in the order of the intermediate step of widen.
  static Words add_bytes(Words sum, Bytes x, Bytes y) {
    const __m256i one = _mm256_set1_epi8(1);
    return {_mm256_add_epi16(sum.a, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(x, y), one)),
            _mm256_add_epi16(sum.b, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(x, y), one))};
  }
  // sum + x, x as unsigned, in the order of widen.
  static Ints add_words(Ints sum, Words x) {
    const __m256i zero = _mm256_setzero_si256();
    return {_mm256_add_epi32(sum.a, _mm256_unpacklo_epi16(x.a, zero)),
            _mm256_add_epi32(sum.b, _mm256_unpackhi_epi16(x.a, zero)),
            _mm256_add_epi32(sum.c, _mm256_unpacklo_epi16(x.b, zero)),
            _mm256_add_epi32(sum.d, _mm256_unpackhi_epi16(x.b, zero))};
  }
  // sum + x * x + y * y, in the order of widen.
  static Ints add_squares(Ints sum, Bytes x, Bytes y) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i lo = _mm256_unpacklo_epi8(x, y), hi = _mm256_unpackhi_epi8(x, y);
    const __m256i a = _mm256_unpacklo_epi8(lo, zero), b = _mm256_unpackhi_epi8(lo, zero);
    const __m256i c = _mm256_unpacklo_epi8(hi, zero), d = _mm256_unpackhi_epi8(hi, zero);
    return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(a, a)),
            _mm256_add_epi32(sum.b, _mm256_madd_epi16(b, b)),
            _mm256_add_epi32(sum.c, _mm256_madd_epi16(c, c)),
            _mm256_add_epi32(sum.d, _mm256_madd_epi16(d, d))};
  }

 private:
  static __m256 nan_to_zero(__m256 x) { return _mm256_and_ps(x, _mm256_cmp_ps(x, x, _CMP_ORD_Q)); }
};

}  // namespace
}  // namespace qnative
