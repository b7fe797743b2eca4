#pragma once

#include "simd/intrinsics_avx512.h"
#include "simd/unroll.h"

// Half a panel at half the cost: a vector holds two groups of k of 8 columns instead of one group
// of 16 columns, and one broadcast loads both groups of x. kHalves vectors hold 8 * kHalves
// columns.
namespace qnative::gemm {
namespace {

// Interleaves two groups: a column of the first, then the same column of the second.
template <int kHalves>
[[gnu::always_inline]] inline void pair_up(const __m512i (&first)[(kHalves + 1) / 2],
                                           const __m512i (&second)[(kHalves + 1) / 2],
                                           __m512i (&pairs)[kHalves]) {
  unroll<kHalves>([&](auto j) __attribute__((always_inline)) {
    constexpr int kVector = j / 2;
    if constexpr (j % 2 == 1) {
      pairs[j] = _mm512_unpackhi_epi32(first[kVector], second[kVector]);
    } else if constexpr (j + 1 < kHalves) {
      pairs[j] = _mm512_unpacklo_epi32(first[kVector], second[kVector]);
    } else {
      const __m512i order =
          _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      pairs[j] = _mm512_permutex2var_epi32(first[kVector], order, second[kVector]);
    }
  });
}

// Adds the two groups of each column; columns in order.
template <int kHalves>
[[gnu::always_inline]] inline void add_pairs(const __m512i (&pairs)[kHalves],
                                             __m512i (&sums)[(kHalves + 1) / 2]) {
  unroll<(kHalves + 1) / 2>([&](auto j) __attribute__((always_inline)) {
    if constexpr (2 * j + 1 < kHalves) {
      const __m512 low = _mm512_castsi512_ps(pairs[2 * j]);
      const __m512 high = _mm512_castsi512_ps(pairs[2 * j + 1]);
      sums[j] = _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(low, high, 0x88)),
                                 _mm512_castps_si512(_mm512_shuffle_ps(low, high, 0xdd)));
    } else {
      const __m512i both = _mm512_add_epi32(pairs[2 * j], _mm512_srli_epi64(pairs[2 * j], 32));
      sums[j] = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(both));
    }
  });
}

template <int kRows, int kHalves, class F>
[[gnu::always_inline]] inline void multiply_pairs(__m512i (&pairs)[kRows][kHalves],
                                                  const __m512i (&weights)[kHalves], F x_of_row) {
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    const __m512i x = x_of_row(i);
    unroll<kHalves>([&](auto j)
                        __attribute__((always_inline)) { dpbusd(pairs[i][j], x, weights[j]); });
  });
}

}  // namespace
}  // namespace qnative::gemm
