#pragma once

#include <immintrin.h>

#include "epilogue_avx2.h"
#include "gemm.h"
#include "layout.h"

// The operands of the tiles of avx2.cpp: rows of x as int16 or as nibbles, weights as int16, and
// the lists of the groups of weights that need int16.
namespace qnative::gemm {
namespace {

// Writes convert(bytes) for every 16, 8 or 4 bytes of rows [m, m + rows) of x: two bytes for each
// byte of x.
template <class Convert>
[[gnu::always_inline]] inline void convert_rows(const Args& args, int64_t m, int64_t rows,
                                                int16_t* to_rows, const Convert& convert) {
  const int64_t size = round_up(args.segment_size, kGroup);
  const int64_t stride = wide_row_stride(args);
  for (int64_t i = 0; i < rows; ++i) {
    int16_t* to = to_rows + i * stride;
    for (int64_t s = 0; s < args.segments; ++s) {
      const uint8_t* x = x_row(args, m + i) + args.segment_offset[s];
      int64_t k = 0;
      for (; k + 16 <= size; k += 16) {
        const __m256i wide = convert(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + k)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k), wide);
      }
      if (k + 8 <= size) {
        const __m256i wide = convert(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + k)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k), _mm256_castsi256_si128(wide));
        k += 8;
      }
      if (k + 4 <= size) {
        const __m256i wide = convert(_mm_loadu_si32(x + k));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to + k), _mm256_castsi256_si128(wide));
      }
      to += size;
    }
  }
}

// Converts rows to int16, each group of four in the order 0, 2, 1, 3.
void widen_rows(const Args& args, int64_t m, int64_t rows, int16_t* wide) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  convert_rows(args, m, rows, wide, [&](__m128i bytes) __attribute__((always_inline)) {
    return _mm256_shuffle_epi8(_mm256_cvtepu8_epi16(bytes), order);
  });
}

// Splits rows into nibbles: for each group of four the low ones, then the high ones.
void split_rows(const Args& args, int64_t m, int64_t rows, int16_t* nibbles) {
  const __m128i mask = _mm_set1_epi8(15);
  convert_rows(args, m, rows, nibbles, [&](__m128i bytes) __attribute__((always_inline)) {
    const __m128i low = _mm_and_si128(bytes, mask);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
    return _mm256_set_m128i(_mm_unpackhi_epi32(low, high), _mm_unpacklo_epi32(low, high));
  });
}

// The weights of k = (0, 2), and of k = (1, 3), of eight columns.
[[gnu::always_inline]] inline __m256i even_k(__m256i w) {
  return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
}
[[gnu::always_inline]] inline __m256i odd_k(__m256i w) { return _mm256_srai_epi16(w, 8); }

// Which groups a panel has: those that vpmaddubsw multiplies exactly, the others, or both.
enum class Mix { kBytes, kWords, kBoth };

// The groups of a panel, sorted.
struct Groups {
  Step* bytes;    // pairs of products fit in int16 whatever x is
  Step* half[2];  // the same, with zeros in the other eight columns
  Step* words;    // the others
  int64_t byte_count = 0, half_count[2] = {}, word_count = 0;
  Mix mix = Mix::kBoth;
};

// Nonzero above bit 8 in the lanes where 255 * (w[0] + w[1]) may not fit in int16: where the sum of
// the pair does not fit in int8. Weights of different signs always fit.
[[gnu::always_inline]] inline __m256i pair_overflow(const int8_t* w) {
  const __m256i one = _mm256_set1_epi8(1), bias = _mm256_set1_epi16(128);
  const __m256i sum0 = _mm256_maddubs_epi16(one, load_bytes(w));
  const __m256i sum1 = _mm256_maddubs_epi16(one, load_bytes(w + 32));
  return _mm256_or_si256(_mm256_add_epi16(sum0, bias), _mm256_add_epi16(sum1, bias));
}
[[gnu::always_inline]] inline bool all_fit(__m256i overflow) {
  return _mm256_testz_si256(overflow, _mm256_set1_epi16(-256)) != 0;
}
[[gnu::always_inline]] inline bool is_zero(const int8_t* w) {
  return _mm256_testz_si256(load_bytes(w), load_bytes(w)) != 0;
}

// Sorting the groups pays for many rows, unless most of the first mixed run are words.
Mix mix_of(const Args& args, const int8_t* panel, int64_t rows) {
  constexpr int64_t kRun = 16;
  if (args.has_zeros) return Mix::kBoth;
  const int64_t groups = row_size(args) / kGroup;
  for (int64_t begin = 0; begin < groups; begin += kRun) {
    const int64_t count = groups - begin < kRun ? groups - begin : kRun;
    const int8_t* const run = panel + begin * kStepBytes;
    __m256i overflow = _mm256_setzero_si256();
    for (int64_t g = 0; g < count; ++g) {
      overflow = _mm256_or_si256(overflow, pair_overflow(run + g * kStepBytes));
    }
    if (all_fit(overflow)) continue;
    int64_t bytes = 0;
    for (int64_t g = 0; g < count; ++g) bytes += all_fit(pair_overflow(run + g * kStepBytes));
    return rows >= kSortRows && 4 * bytes > count ? Mix::kBoth : Mix::kWords;
  }
  return Mix::kBytes;
}

// Most panels of one product have the same mix, and lists of all groups need not be made again.
void sort_groups(const Args& args, const int8_t* panel, int64_t rows, Groups& groups) {
  const Mix mix = mix_of(args, panel, rows);
  if (mix == groups.mix && mix != Mix::kBoth) return;
  groups.mix = mix;
  Step* bytes = groups.bytes;
  Step* half[2] = {groups.half[0], groups.half[1]};
  Step* words = groups.words;
  int64_t group = 0;
  for (int64_t s = 0; s < args.segments; ++s) {
    const int64_t offset = args.segment_offset[s];
    for (int64_t k = 0; k < args.segment_size; k += kGroup, ++group) {
      const int8_t* w = panel + group * kStepBytes;
      const bool fits = mix == Mix::kBoth ? all_fit(pair_overflow(w)) : mix == Mix::kBytes;
      *words = {group * kGroup, group * kStepBytes};
      words += !fits;
      if (args.has_zeros && fits && (is_zero(w) || is_zero(w + 32))) {
        *half[is_zero(w)]++ = {offset + k, group * kStepBytes};
      } else {
        *bytes = {offset + k, group * kStepBytes};
        bytes += fits;
      }
    }
  }
  groups.byte_count = bytes - groups.bytes;
  for (int i = 0; i < 2; ++i) groups.half_count[i] = half[i] - groups.half[i];
  groups.word_count = words - groups.words;
}

// Widens the word groups to int16, one after the other.
void widen_words(const int8_t* panel, const Groups& groups, int8_t* wide) {
  for (int64_t i = 0; i < groups.word_count; ++i) {
    const int8_t* w = panel + groups.words[i].w;
    const __m256i low = load_bytes(w), high = load_bytes(w + 32);
    __m256i* to = reinterpret_cast<__m256i*>(wide + 2 * kStepBytes * i);
    _mm256_storeu_si256(to, even_k(low));
    _mm256_storeu_si256(to + 1, even_k(high));
    _mm256_storeu_si256(to + 2, odd_k(low));
    _mm256_storeu_si256(to + 3, odd_k(high));
  }
}

}  // namespace
}  // namespace qnative::gemm
