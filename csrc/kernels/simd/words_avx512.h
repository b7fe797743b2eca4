#pragma once

// The verbs of simd/words_avx2.h, which describes them.

#include "simd/avx512.h"

#if defined(QNATIVE_EMULATE_AVX512)
namespace qnative {
namespace {

[[maybe_unused]] inline __m512i emulated_cvtepi16_epi32(__m256i a) {
  return convert_lanes<int32_t, int16_t, __m512i>(a, [](int16_t v) { return int32_t{v}; });
}

}  // namespace
}  // namespace qnative
#define _mm512_cvtepi16_epi32(a) qnative::emulated_cvtepi16_epi32(a)
#endif

namespace qnative {
namespace {

struct WordsAvx512 : Avx512 {
  using Avx512::add;
  using Avx512::load;
  using Avx512::store;

  static Floats load(const int16_t* p) {
    return to_floats(_mm512_loadu_si512(p), _mm512_loadu_si512(p + kBytes / 2));
  }
  static Floats load(const int16_t* p, int64_t n) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(p);
    const int64_t size = 2 * n;
    if (size <= kBytes) return to_floats(load(bytes, size), _mm512_setzero_si512());
    return to_floats(load(bytes), load(bytes + kBytes, size - kBytes));
  }
  static void store(int16_t* p, Ints x) {
    _mm512_storeu_si512(p, pack_words(x.a, x.b));
    _mm512_storeu_si512(p + kBytes / 2, pack_words(x.c, x.d));
  }
  static void store(int16_t* p, Ints x, int64_t n) {
    auto* const bytes = reinterpret_cast<uint8_t*>(p);
    const int64_t size = 2 * n;
    store(bytes, pack_words(x.a, x.b), size < kBytes ? size : kBytes);
    if (size > kBytes) store(bytes + kBytes, pack_words(x.c, x.d), size - kBytes);
  }

  struct WordSums {
    __m512i sum, even, odd;
  };
  static WordSums word_sums() {
    const __m512i zero = _mm512_setzero_si512();
    return {zero, zero, zero};
  }
  static WordSums add(const WordSums& sums, const int16_t* p) {
    const __m512i x = _mm512_loadu_si512(p);
    const __m512i squares = _mm512_madd_epi16(x, x);
    const __m512i low = _mm512_set1_epi64(0xffffffff);
    return {_mm512_add_epi32(sums.sum, _mm512_madd_epi16(x, _mm512_set1_epi16(1))),
            _mm512_add_epi64(sums.even, _mm512_and_si512(squares, low)),
            _mm512_add_epi64(sums.odd, _mm512_srli_epi64(squares, 32))};
  }
  static void flush(const WordSums& sums, int64_t* sum, int64_t* squares) {
    int32_t lanes[16];
    int64_t wide[8];
    _mm512_storeu_si512(lanes, sums.sum);
    _mm512_storeu_si512(wide, _mm512_add_epi64(sums.even, sums.odd));
    for (int32_t lane : lanes) *sum += lane;
    for (int64_t lane : wide) *squares += lane;
  }

 private:
  static Floats to_floats(__m512i lo, __m512i hi) {
    return {to_floats(_mm512_castsi512_si256(lo)), to_floats(_mm512_extracti64x4_epi64(lo, 1)),
            to_floats(_mm512_castsi512_si256(hi)), to_floats(_mm512_extracti64x4_epi64(hi, 1))};
  }
  static __m512 to_floats(__m256i x) { return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(x)); }
  static __m512i pack_words(__m512i x, __m512i y) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                    _mm512_packs_epi32(x, y));
  }
};

}  // namespace
}  // namespace qnative
