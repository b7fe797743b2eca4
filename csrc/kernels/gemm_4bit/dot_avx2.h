#pragma once

#include <immintrin.h>

#include "body.h"
#include "simd/real_avx2.h"

// The verbs of body.h that AVX2 and AVX-VNNI share, and their loop over tiles.
namespace qnative::gemm_4bit {
namespace {

struct Base256 {
  using Real = RealAvx2;
  static constexpr int kRegisters = 16;
  using Ints = __m256i;
  static Ints set(int32_t v) { return _mm256_set1_epi32(v); }
  static Ints load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Ints low(Ints v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
  static Ints high(Ints v) { return low(_mm256_srli_epi16(v, 4)); }
  static Ints broadcast(const int8_t* p) {
    int32_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return _mm256_set1_epi32(bytes);
  }
  static Real::F to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
  static Real::F load_scales(const uint8_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Ints round(Real::F x) { return _mm256_cvtps_epi32(x); }
  static Ints magnitude(Real::F x) {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
  }
  static Ints larger(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static int32_t fold_max(Ints v) {
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0b01001110));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0b10110001)));
  }
  static int32_t fold_sum(Ints v) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0b01001110));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0b10110001)));
  }
  static void store_bytes(int8_t* p, Ints v) {
    const __m256i words = _mm256_packs_epi32(v, v);
    const __m256i bytes = _mm256_packs_epi16(words, words);
    const int32_t half[2] = {_mm256_extract_epi32(bytes, 0), _mm256_extract_epi32(bytes, 4)};
    memcpy(p, half, sizeof(half));
  }
};

// D::kMaxRows: of a tile, as many as leave the inner loop its registers.
template <class D>
void run_tiles(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t block = block_rows(args.layout);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block) {
    const int64_t m_next = m_end - m < block ? m_end : m + block;
    const bool is_row = m_next - m == 1;
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t left = n_end - n;
      // Every panel of a tile must exist.
      const int64_t width = is_row && left > 16 ? 32 : 16;
      const int64_t columns = left < width ? left : width;
      if (columns > 16) {
        sweep<D, 1, 4>(args, m, m_next, n, columns);
      } else {
        sweep<D, D::kMaxRows, 2>(args, m, m_next, n, columns);
      }
      n += columns;
    }
  }
}

}  // namespace
}  // namespace qnative::gemm_4bit
