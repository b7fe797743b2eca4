#pragma once

#include <immintrin.h>
#include <string.h>

#include "gemm.h"
#include "layout.h"
#include "simd/activation.h"
#include "simd/real_avx2.h"
#include "simd/unroll.h"

// From the sums of a tile to y, for avx2.cpp and avx_vnni.cpp.
namespace qnative::gemm {
namespace {

[[gnu::always_inline]] inline __m256i load_bytes(const int8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Stores fewer than 16 bytes. One call of memcpy per row would show in layers of few columns.
[[gnu::always_inline]] inline void store_part(__m128i bytes, uint8_t* y, int64_t count) {
  if (count & 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), bytes);
    bytes = _mm_unpackhi_epi64(bytes, bytes);
    y += 8;
  }
  if (count & 4) {
    _mm_storeu_si32(y, bytes);
    bytes = _mm_srli_epi64(bytes, 32);
    y += 4;
  }
  if (count & 2) {
    _mm_storeu_si16(y, bytes);
    bytes = _mm_srli_epi64(bytes, 16);
    y += 2;
  }
  if (count & 1) *y = static_cast<uint8_t>(_mm_cvtsi128_si32(bytes));
}

// Requantizes sums of 8 * kVectors columns. Holds its parameters in vectors: for all the compiler
// knows y aliases Args, and it would read and broadcast them again after every row.
template <int kVectors>
struct Bytes {
  Bytes(const Args& args, int64_t n)
      : hi(_mm256_set1_ps(static_cast<float>(args.requantize.hi - args.requantize.zero_point))),
        zero_point(_mm256_set1_epi16(static_cast<int16_t>(args.requantize.zero_point))),
        lo(_mm_set1_epi8(static_cast<int8_t>(args.requantize.lo))),
        flip(_mm_set1_epi8(static_cast<int8_t>(args.requantize.flip))) {
    for (int j = 0; j < kVectors; ++j) {
      multiplier[j] = _mm256_loadu_ps(args.multiplier + n + 8 * j);
      bias[j] = _mm256_loadu_ps(args.bias + n + 8 * j);
    }
  }

  [[gnu::always_inline]] __m256i to_int(__m256i acc, int j) const {
    const __m256 r = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), multiplier[j], bias[j]);
    return _mm256_cvtps_epi32(_mm256_min_ps(r, hi));
  }

  // Saturation is the lower clamp: values below -32768, and INT_MIN, which cvtps gives for values
  // below int32, become 0 when the zero point is added.
  [[gnu::always_inline]] void store(const __m256i (&acc)[kVectors], uint8_t* y,
                                    int64_t columns) const {
    const __m256i v0 = to_int(acc[0], 0);
    const __m256i v1 = kVectors == 1 ? v0 : to_int(acc[kVectors - 1], kVectors - 1);
    const __m256i words = _mm256_adds_epi16(_mm256_packs_epi32(v0, v1), zero_point);
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    // The packs leave columns 0-3, 8-11, 4-7, 12-15.
    bytes = _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0));
    bytes = _mm_xor_si128(_mm_max_epu8(bytes, lo), flip);
    if (columns >= 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
    } else {
      store_part(bytes, y, columns);
    }
  }

  __m256 multiplier[kVectors];
  __m256 bias[kVectors];
  __m256 hi;
  __m256i zero_point;
  __m128i lo, flip;
};

// vpmaddwd multiplies the weight, shifted to the upper half of its lane, by the excess, which is in
// the upper half alone.
void add_outliers(const Args& args, __m256i* acc, int64_t rows, int64_t vectors, int64_t m,
                  int64_t n) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t o = 0; o < args.outlier_count[m + i]; ++o) {
      const Outlier outlier = outliers_of(args, m + i)[o];
      const int8_t* const w = lanes_of(args, n, outlier.k);
      const __m256i excess = _mm256_set1_epi32(static_cast<int>(upper_half(outlier.excess)));
      const __m128i shift = _mm_cvtsi32_si128(shift_to_top(outlier.k));
      for (int64_t j = 0; j < vectors; ++j) {
        const __m256i top = _mm256_sll_epi32(load_bytes(w + 32 * j), shift);
        __m256i& sum = acc[i * vectors + j];
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_srai_epi16(top, 8), excess));
      }
    }
  }
}

// acc: [rows][vectors]. A function of its own: the memory traffic of float output hides the detour
// through the stack, and unrolled copies in every tile would be most of the code.
[[gnu::noinline]] void store_float(const Args& args, __m256i* acc, int64_t rows, int64_t vectors,
                                   int64_t m, int64_t n, int64_t columns) {
  if (has_outliers(args, m, rows)) add_outliers(args, acc, rows, vectors, m, n);
  const __m256 lo = _mm256_set1_ps(args.float_lo);
  const __m256 hi = _mm256_set1_ps(args.float_hi);
  for (int64_t i = 0; i < rows; ++i) {
    float* y = static_cast<float*>(args.y) + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j < vectors; ++j) {
      __m256 multiplier = _mm256_loadu_ps(args.multiplier + n + 8 * j);
      if (args.row_multiplier != nullptr) {
        multiplier = _mm256_mul_ps(multiplier, _mm256_set1_ps(args.row_multiplier[m + i]));
      }
      __m256 r = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i * vectors + j]), multiplier,
                                 _mm256_loadu_ps(args.bias + n + 8 * j));
      r = activate<RealAvx2>(args.activation, r);
      // min and max return the second operand for NaN.
      r = _mm256_min_ps(hi, _mm256_max_ps(lo, r));
      const int64_t left = columns - 8 * j;
      if (left >= 8) {
        _mm256_storeu_ps(y + 8 * j, r);
      } else if (left > 0) {
        memcpy(y + 8 * j, &r, left * sizeof(float));
      }
    }
  }
}

// The same for int16 output.
[[gnu::noinline]] void store_words(const Args& args, __m256i* acc, int64_t rows, int64_t vectors,
                                   int64_t m, int64_t n, int64_t columns) {
  const __m256 lo = _mm256_set1_ps(static_cast<float>(args.requantize.lo));
  const __m256 hi = _mm256_set1_ps(static_cast<float>(args.requantize.hi));
  for (int64_t i = 0; i < rows; ++i) {
    int16_t* y = static_cast<int16_t*>(args.y) + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j < vectors; ++j) {
      const __m256 r = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i * vectors + j]),
                                       _mm256_loadu_ps(args.multiplier + n + 8 * j),
                                       _mm256_loadu_ps(args.bias + n + 8 * j));
      const __m256i v = _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(r, hi), lo));
      const __m128i words =
          _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
      const int64_t left = columns - 8 * j;
      if (left >= 8) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 8 * j), words);
      } else if (left > 0) {
        memcpy(y + 8 * j, &words, left * sizeof(int16_t));
      }
    }
  }
}

// Eight sums, or the first `left` of them.
[[gnu::always_inline]] inline void store_ints(int32_t* y, __m256i sums, int64_t left) {
  if (left >= 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), sums);
  } else if (left > 0) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left)), lanes);
    _mm256_maskstore_epi32(y, mask, sums);
  }
}

// The initial sums of rows [m, m + kRows) and 8 * kVectors columns.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void begin_sums(const Args& args, int64_t m, int64_t n,
                                              __m256i (&acc)[kRows][kVectors]) {
  const auto* start = reinterpret_cast<const __m256i*>(args.start + n);
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    for (int j = 0; j < kVectors; ++j) acc[i][j] = _mm256_loadu_si256(start + j);
  });
  if (args.row_factor == nullptr) return;
  const auto* factors = reinterpret_cast<const __m256i*>(args.column_factor + n);
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    const __m256i factor = _mm256_set1_epi32(args.row_factor[m + i]);
    for (int j = 0; j < kVectors; ++j) {
      const __m256i product = _mm256_mullo_epi32(factor, _mm256_loadu_si256(factors + j));
      acc[i][j] = _mm256_add_epi32(acc[i][j], product);
    }
  });
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store_sums(const Args& args, int64_t m, int64_t n,
                                              int64_t columns,
                                              const __m256i (&acc)[kRows][kVectors]) {
  if (args.float_output || args.word_output) {
    __m256i copy[kRows * kVectors];
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      for (int j = 0; j < kVectors; ++j) copy[i * kVectors + j] = acc[i][j];
    });
    const auto store_copy = args.float_output ? store_float : store_words;
    store_copy(args, copy, kRows, kVectors, m, n, columns);
    return;
  }
  const int64_t y_stride = args.y_stride;
  if (args.sum_output) {
    int32_t* sums = static_cast<int32_t*>(args.y) + m * y_stride + n;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      for (int j = 0; j < kVectors; ++j) {
        store_ints(sums + i * y_stride + 8 * j, acc[i][j], columns - 8 * j);
      }
    });
    return;
  }
  const Bytes<kVectors> output(args, n);
  uint8_t* y = static_cast<uint8_t*>(args.y) + m * y_stride + n;
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    output.store(acc[i], y + i * y_stride, columns);
  });
}

}  // namespace
}  // namespace qnative::gemm
