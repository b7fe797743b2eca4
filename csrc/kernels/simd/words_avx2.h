#pragma once

// The verbs of simd/avx2.h, and those for tensors of int16, whose elements are in the order of
// memory. simd/words_avx512.h has the same.

#include "simd/avx2.h"

namespace qnative {
namespace {

struct WordsAvx2 : Avx2 {
  using Avx2::add;
  using Avx2::load;
  using Avx2::store;

  static Floats load(const int16_t* p) {
    const auto* q = reinterpret_cast<const __m128i*>(p);
    return {to_floats(q), to_floats(q + 1), to_floats(q + 2), to_floats(q + 3)};
  }
  // The first n <= kBytes elements; the others are 0.
  static Floats load(const int16_t* p, int64_t n) {
    int16_t buffer[kBytes] = {};
    memcpy(buffer, p, n * sizeof(int16_t));
    return load(buffer);
  }
  // Saturates.
  static void store(int16_t* p, Ints x) {
    auto* q = reinterpret_cast<__m256i*>(p);
    _mm256_storeu_si256(q, pack_words(x.a, x.b));
    _mm256_storeu_si256(q + 1, pack_words(x.c, x.d));
  }
  static void store(int16_t* p, Ints x, int64_t n) {
    int16_t buffer[kBytes];
    store(buffer, x);
    memcpy(p, buffer, n * sizeof(int16_t));
  }

  // Sums of int16 numbers and of their squares.
  struct WordSums {
    __m256i sum, even, odd;
  };
  static WordSums word_sums() {
    const __m256i zero = _mm256_setzero_si256();
    return {zero, zero, zero};
  }
  // Adds kBytes / 2 elements. The sum fits in int32 for 2^14 calls. A sum of two squares fits in an
  // unsigned int32.
  static WordSums add(const WordSums& sums, const int16_t* p) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i squares = _mm256_madd_epi16(x, x);
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    return {_mm256_add_epi32(sums.sum, _mm256_madd_epi16(x, _mm256_set1_epi16(1))),
            _mm256_add_epi64(sums.even, _mm256_and_si256(squares, low)),
            _mm256_add_epi64(sums.odd, _mm256_srli_epi64(squares, 32))};
  }
  static void flush(const WordSums& sums, int64_t* sum, int64_t* squares) {
    int32_t lanes[8];
    int64_t wide[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sums.sum);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(wide), _mm256_add_epi64(sums.even, sums.odd));
    for (int32_t lane : lanes) *sum += lane;
    for (int64_t lane : wide) *squares += lane;
  }

 private:
  static __m256 to_floats(const __m128i* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(p)));
  }
  static __m256i pack_words(__m256i x, __m256i y) {
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(x, y), _MM_SHUFFLE(3, 1, 2, 0));
  }
};

}  // namespace
}  // namespace qnative
