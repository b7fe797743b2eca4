#pragma once

#include "gemm.h"
#include "simd/activation.h"
#include "simd/intrinsics_avx512.h"
#include "simd/real_avx512.h"
#include "simd/unroll.h"

// From the sums of a tile to y.
namespace qnative::gemm {
namespace {

// Requantize in vectors: for all the compiler knows y aliases Args, and it would read and broadcast
// them again after every row.
struct Requantizer {
  Requantizer(const Requantize& q, bool is_small)
      : saturates(qnative::saturates(q, is_small)),
        hi(_mm512_set1_ps(static_cast<float>(q.hi - q.zero_point))),
        zero_point(_mm512_set1_epi16(static_cast<int16_t>(q.zero_point))),
        lo(_mm512_set1_epi8(static_cast<int8_t>(q.lo))),
        flip(_mm512_set1_epi8(static_cast<int8_t>(q.flip))),
        order(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)) {}

  // 16 * kVectors numbers to bytes, in order. Saturation is the lower clamp: values below -32768,
  // and INT_MIN, which cvtps gives for values below int32, become 0 when the zero point is added.
  template <int kVectors>
  [[gnu::always_inline]] __m512i bytes(const __m512 (&r)[kVectors]) const {
    __m512i v[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      v[j] = _mm512_cvtps_epi32(_mm512_min_ps(r[j], hi));
    });
    const __m512i y = pack(v, [&](__m512i words) __attribute__((always_inline)) {
      return _mm512_adds_epi16(words, zero_point);
    });
    return _mm512_xor_si512(_mm512_max_epu8(y, lo), flip);
  }

  // The same if packing is the whole clamp.
  template <int kVectors>
  [[gnu::always_inline]] __m512i saturated_bytes(const __m512 (&r)[kVectors]) const {
    __m512i v[kVectors];
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { v[j] = _mm512_cvtps_epi32(r[j]); });
    return pack(v, [](__m512i words) __attribute__((always_inline)) { return words; });
  }

  template <int kVectors, class F>
  [[gnu::always_inline]] __m512i pack(const __m512i (&v)[kVectors], F add_zero_point) const {
    constexpr int kLast = kVectors - 1;
    const __m512i low = add_zero_point(_mm512_packs_epi32(v[0], v[kLast < 1 ? kLast : 1]));
    __m512i high = low;
    if constexpr (kVectors > 2) high = add_zero_point(_mm512_packs_epi32(v[2], v[kLast]));
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
  }

  bool saturates;
  __m512 hi;
  __m512i zero_point, lo, flip, order;
};

// Stores 16 * kVectors of `bytes` from 16 * kFirst on. Masked stores are several times slower than
// plain ones: they are for the last columns only.
template <int kVectors, int kFirst>
[[gnu::always_inline]] inline void store_bytes(uint8_t* y, __m512i bytes, int64_t columns) {
  if constexpr (kVectors == 1) {
    const __m128i row = _mm512_extracti32x4_epi32(bytes, kFirst);
    if (columns < 16) {
      _mm_mask_storeu_epi8(y, static_cast<__mmask16>((1U << columns) - 1), row);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), row);
    }
  } else if constexpr (kVectors == 2) {
    const __m256i row = _mm512_extracti64x4_epi64(bytes, kFirst / 2);
    if (columns < 32) {
      _mm256_mask_storeu_epi8(y, (uint32_t{1} << columns) - 1, row);
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), row);
    }
  } else if (columns < 16 * kVectors) {
    _mm512_mask_storeu_epi8(y, (uint64_t{1} << columns) - 1, bytes);
  } else if constexpr (kVectors == 3) {
    store_bytes<2, 0>(y, bytes, 32);
    store_bytes<1, 2>(y + 32, bytes, 16);
  } else {
    _mm512_storeu_si512(y, bytes);
  }
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store_requantized(const Args& args,
                                                     const __m512i (&acc)[kRows][kVectors],
                                                     int64_t m, int64_t n, int64_t columns) {
  const Requantizer requantizer(args.requantize, args.small);
  __m512 multiplier[kVectors], bias[kVectors];
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    multiplier[j] = _mm512_loadu_ps(args.multiplier + n + 16 * j);
    bias[j] = _mm512_loadu_ps(args.bias + n + 16 * j);
  });
  const int64_t y_stride = args.y_stride;
  uint8_t* y = static_cast<uint8_t*>(args.y) + m * y_stride + n;
  // Packs as many rows together as one vector of bytes holds.
  constexpr int kTogether = kVectors <= 2 ? 4 / kVectors : 1;
  const auto rows = [&](auto to_bytes) __attribute__((always_inline)) {
    unroll<(kRows + kTogether - 1) / kTogether>([&](auto group) __attribute__((always_inline)) {
      constexpr int kFirst = group * kTogether;
      constexpr int kCount = kRows - kFirst < kTogether ? kRows - kFirst : kTogether;
      __m512 r[kCount * kVectors];
      unroll<kCount * kVectors>([&](auto j) __attribute__((always_inline)) {
        constexpr int kColumn = j % kVectors;
        r[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[kFirst + j / kVectors][kColumn]),
                               multiplier[kColumn], bias[kColumn]);
      });
      const __m512i bytes = to_bytes(r);
      unroll<kCount>([&](auto i) __attribute__((always_inline)) {
        store_bytes<kVectors, i * kVectors>(y, bytes, columns);
        y += y_stride;
      });
    });
  };
  if (requantizer.saturates) {
    rows([&](const auto& r)
             __attribute__((always_inline)) { return requantizer.saturated_bytes(r); });
  } else {
    rows([&](const auto& r) __attribute__((always_inline)) { return requantizer.bytes(r); });
  }
}

template <int kVectors>
[[gnu::always_inline]] inline void store_ints(int32_t* y, const __m512i (&acc)[kVectors],
                                              int64_t columns) {
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    const int64_t left = columns - 16 * j;
    if (left >= 16) {
      _mm512_storeu_si512(y + 16 * j, acc[j]);
    } else {
      _mm512_mask_storeu_epi32(y + 16 * j, static_cast<__mmask16>((1U << left) - 1), acc[j]);
    }
  });
}

template <int kVectors>
[[gnu::always_inline]] inline void store_floats(float* y, const __m512 (&r)[kVectors],
                                                int64_t columns) {
  if (columns >= 16 * kVectors) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { _mm512_storeu_ps(y + 16 * j, r[j]); });
    return;
  }
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    const int64_t left = columns - 16 * j;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    _mm512_mask_storeu_ps(y + 16 * j, mask, r[j]);
  });
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store_real(const Args& args,
                                              const __m512i (&acc)[kRows][kVectors], int64_t m,
                                              int64_t n, int64_t columns) {
  const __m512 lo = _mm512_set1_ps(args.float_lo);
  const __m512 hi = _mm512_set1_ps(args.float_hi);
  const float* multiplier = args.multiplier + n;
  const float* bias = args.bias + n;
  const float* row_multiplier = args.row_multiplier;
  const int64_t y_stride = args.y_stride;
  float* y = static_cast<float*>(args.y) + m * y_stride + n;
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    const __m512 row_scale =
        _mm512_set1_ps(row_multiplier != nullptr ? row_multiplier[m + i] : 1.0f);
    __m512 r[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      r[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i][j]),
                             _mm512_mul_ps(row_scale, _mm512_loadu_ps(multiplier + 16 * j)),
                             _mm512_loadu_ps(bias + 16 * j));
      // min and max return the second operand for NaN.
      r[j] = _mm512_min_ps(hi, _mm512_max_ps(lo, r[j]));
    });
    store_floats<kVectors>(y, r, columns);
    y += y_stride;
  });
}

// acc: [rows][vectors]. A function of its own: the time of an activation hides the detour through
// the stack, and forty unrolled copies would be most of the code.
[[gnu::noinline]] void store_activated(const Args& args, const __m512i* acc, int64_t rows,
                                       int64_t vectors, int64_t m, int64_t n, int64_t columns) {
  const __m512 lo = _mm512_set1_ps(args.float_lo);
  const __m512 hi = _mm512_set1_ps(args.float_hi);
  for (int64_t i = 0; i < rows; ++i) {
    float* y = static_cast<float*>(args.y) + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j < vectors; ++j) {
      __m512 multiplier = _mm512_loadu_ps(args.multiplier + n + 16 * j);
      if (args.row_multiplier != nullptr) {
        multiplier = _mm512_mul_ps(multiplier, _mm512_set1_ps(args.row_multiplier[m + i]));
      }
      __m512 r = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i * vectors + j]), multiplier,
                                 _mm512_loadu_ps(args.bias + n + 16 * j));
      r = activate<RealAvx512>(args.activation, r);
      // min and max return the second operand for NaN.
      r = _mm512_min_ps(hi, _mm512_max_ps(lo, r));
      const int64_t left = columns - 16 * j;
      if (left >= 16) {
        _mm512_storeu_ps(y + 16 * j, r);
      } else {
        _mm512_mask_storeu_ps(y + 16 * j, static_cast<__mmask16>((1U << left) - 1), r);
      }
    }
  }
}

// The same for int16 output.
[[gnu::noinline]] void store_words(const Args& args, const __m512i* acc, int64_t rows,
                                   int64_t vectors, int64_t m, int64_t n, int64_t columns) {
  const __m512 lo = _mm512_set1_ps(static_cast<float>(args.requantize.lo));
  const __m512 hi = _mm512_set1_ps(static_cast<float>(args.requantize.hi));
  for (int64_t i = 0; i < rows; ++i) {
    int16_t* y = static_cast<int16_t*>(args.y) + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j < vectors; ++j) {
      const __m512 r = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i * vectors + j]),
                                       _mm512_loadu_ps(args.multiplier + n + 16 * j),
                                       _mm512_loadu_ps(args.bias + n + 16 * j));
      const __m512i v = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(r, hi), lo));
      const __m256i words = _mm512_cvtsepi32_epi16(v);
      const int64_t left = columns - 16 * j;
      if (left >= 16) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + 16 * j), words);
      } else {
        const auto mask = static_cast<__mmask32>((uint64_t{1} << 2 * left) - 1);
        _mm256_mask_storeu_epi8(y + 16 * j, mask, words);
      }
    }
  }
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store(const Args& args, const __m512i (&acc)[kRows][kVectors],
                                         int64_t m, int64_t n, int64_t columns) {
  if (args.sum_output) {
    int32_t* y = static_cast<int32_t*>(args.y) + m * args.y_stride + n;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      store_ints<kVectors>(y + i * args.y_stride, acc[i], columns);
    });
    return;
  }
  if (!args.float_output && !args.word_output) {
    store_requantized(args, acc, m, n, columns);
    return;
  }
  if (args.float_output && args.activation == FloatActivation::kNone) {
    store_real(args, acc, m, n, columns);
    return;
  }
  __m512i copy[kRows * kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { copy[i * kVectors + j] = acc[i][j]; });
  });
  const auto store_copy = args.float_output ? store_activated : store_words;
  store_copy(args, copy, kRows, kVectors, m, n, columns);
}

}  // namespace
}  // namespace qnative::gemm
