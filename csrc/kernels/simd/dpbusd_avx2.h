#pragma once

#include <immintrin.h>

// vpdpbusd of AVX-VNNI, in the encoding of machines without AVX-512. With QNATIVE_EMULATE_AVX512 it
// is written in AVX2.
//
//   dpbusd(acc, u8, s8)   acc[i] += sum_{j<4} u8[4i+j] * s8[4i+j], int32 lanes, exact
namespace qnative {
namespace {

#if !defined(QNATIVE_EMULATE_AVX512)

// As assembly, because g++ 12 spills an array of accumulators that the intrinsic updates.
[[gnu::always_inline]] inline void dpbusd(__m256i& acc, __m256i u8, __m256i s8) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(u8), "x"(s8));
}

#else

[[maybe_unused]] inline void dpbusd(__m256i& acc, __m256i u8, __m256i s8) {
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(u8, _mm256_set1_epi16(0xff)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(s8, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u8, 8), _mm256_srai_epi16(s8, 8));
  acc = _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}

#endif

}  // namespace
}  // namespace qnative
