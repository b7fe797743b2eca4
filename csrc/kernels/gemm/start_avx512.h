#pragma once

#include "gemm.h"
#include "layout.h"
#include "simd/intrinsics_avx512.h"
#include "simd/unroll.h"

// The terms of the sums besides products of x with weights: start, row factors, outliers.
namespace qnative::gemm {
namespace {

// sums: [rows][kVectors], the outliers' part of rows from m on. vpdpwssd multiplies the weight,
// shifted to the upper half of its lane, by the excess, which is in the upper half alone.
template <int kVectors>
[[gnu::noinline]] void sum_outliers(const Args& args, int64_t rows, int64_t m, int64_t n,
                                    __m512i* sums) {
  const int64_t panel = panel_stride(args);
  const int8_t* const lanes = lanes_of(args, n, 0);
  for (int64_t i = 0; i < rows; ++i, sums += kVectors) {
    __m512i sum[kVectors];
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { sum[j] = _mm512_setzero_si512(); });
    const Outlier* outlier = outliers_of(args, m + i);
    for (const Outlier* end = outlier + args.outlier_count[m + i]; outlier < end; ++outlier) {
      const int8_t* const w = lanes + outlier->k / kGroup * kStepBytes;
      const __m512i excess = _mm512_set1_epi32(static_cast<int>(upper_half(outlier->excess)));
      const __m128i shift = _mm_cvtsi32_si128(shift_to_top(outlier->k));
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        const __m512i top = _mm512_sll_epi32(_mm512_loadu_si512(w + panel * j), shift);
        dpwssd(sum[j], _mm512_srai_epi16(top, 8), excess);
      });
    }
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) { sums[j] = sum[j]; });
  }
}

// Adds the terms of row factors and outliers.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void add_row_terms(const Args& args, __m512i (&acc)[kRows][kVectors],
                                                 int64_t m, int64_t n) {
  if (args.row_factor != nullptr) {
    const int32_t* column_factor = args.column_factor + n;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const __m512i factor = _mm512_set1_epi32(args.row_factor[m + i]);
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        acc[i][j] = _mm512_add_epi32(
            acc[i][j], _mm512_mullo_epi32(factor, _mm512_loadu_si512(column_factor + 16 * j)));
      });
    });
  }
  if (!has_outliers(args, m, kRows)) return;
  __m512i sums[kRows * kVectors];
  sum_outliers<kVectors>(args, kRows, m, n, sums);
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      acc[i][j] = _mm512_add_epi32(acc[i][j], sums[i * kVectors + j]);
    });
  });
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void load_start(const Args& args, __m512i (&acc)[kRows][kVectors],
                                              int64_t m, int64_t n) {
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      acc[i][j] = _mm512_loadu_si512(args.start + n + 16 * j);
    });
  });
  add_row_terms(args, acc, m, n);
}

}  // namespace
}  // namespace qnative::gemm
