#pragma once

// The AVX-512 intrinsics, vpdpbusd and vpdpwssd. With QNATIVE_EMULATE_AVX512 SIMDe implements the
// same names over AVX2, so that machines without AVX-512 test the same source files.
//
//   dpbusd(acc, u8, s8)          acc[i] += sum_{j<4} u8[4i+j] * s8[4i+j], int32 lanes, exact
//   dpbusd_load(acc, u8, from)   the same with the 64 bytes at `from` (any alignment) as s8
//   dpwssd(acc, a, b)            acc[i] += sum_{j<2} a[2i+j] * b[2i+j] of int16

#include <stdint.h>
#include <string.h>

#if !defined(QNATIVE_EMULATE_AVX512)

// g++ 12 warns about the undefined vectors in its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace qnative {
namespace {

// As assembly, because g++ 12 spills an array of accumulators that the intrinsic updates.
[[maybe_unused, gnu::always_inline]] inline void dpbusd(__m512i& acc, __m512i u8, __m512i s8) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
}

[[maybe_unused, gnu::always_inline]] inline void dpbusd(__m256i& acc, __m256i u8, __m256i s8) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "v"(s8));
}

[[maybe_unused, gnu::always_inline]] inline void dpwssd(__m512i& acc, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

[[maybe_unused, gnu::always_inline]] inline void dpbusd_load(__m512i& acc, __m512i u8,
                                                             const void* from) {
  struct [[gnu::may_alias]] Bytes {
    char data[64];
  };
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u8), "m"(*static_cast<const Bytes*>(from)));
}

}  // namespace
}  // namespace qnative

#else

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "dpbusd_avx2.h"

namespace qnative {
namespace {

[[maybe_unused]] inline void dpbusd(__m512i& acc, __m512i u8, __m512i s8) {
  __m256i half[2][3];
  memcpy(half[0], &acc, 32);
  memcpy(half[1], reinterpret_cast<const char*>(&acc) + 32, 32);
  for (int i = 0; i < 2; ++i) {
    memcpy(&half[i][1], reinterpret_cast<const char*>(&u8) + 32 * i, 32);
    memcpy(&half[i][2], reinterpret_cast<const char*>(&s8) + 32 * i, 32);
    dpbusd(half[i][0], half[i][1], half[i][2]);
    memcpy(reinterpret_cast<char*>(&acc) + 32 * i, &half[i][0], 32);
  }
}

[[maybe_unused]] inline void dpwssd(__m512i& acc, __m512i a, __m512i b) {
  acc = _mm512_add_epi32(acc, simde_mm512_madd_epi16(a, b));
}

[[maybe_unused]] inline void dpbusd_load(__m512i& acc, __m512i u8, const void* from) {
  __m512i s8;
  memcpy(&s8, from, 64);
  dpbusd(acc, u8, s8);
}

// Intrinsics that SIMDe 0.7.4 lacks, lane by lane. Vectors are arrays of T here.
template <class T, class V>
struct Lanes {
  static constexpr int kCount = sizeof(V) / sizeof(T);
  T lane[kCount];
  Lanes() : lane{} {}
  explicit Lanes(const V& v) { memcpy(lane, &v, sizeof(V)); }
  operator V() const {
    V v;
    memcpy(&v, lane, sizeof(V));
    return v;
  }
};

template <class To, class From, class ToV, class FromV, class Convert>
inline ToV convert_lanes(const FromV& from, Convert convert) {
  const Lanes<From, FromV> in(from);
  Lanes<To, ToV> out;
  for (int i = 0; i < in.kCount && i < out.kCount; ++i) out.lane[i] = convert(in.lane[i]);
  return out;
}

[[maybe_unused]] inline __m512i emulated_cvtps_epi32(__m512 a) {
  return convert_lanes<int32_t, float, __m512i>(
      a, [](float v) { return _mm_cvtss_si32(_mm_set_ss(v)); });
}
[[maybe_unused]] inline __m512 emulated_cvtepi32_ps(__m512i a) {
  return convert_lanes<float, int32_t, __m512>(a, [](int32_t v) { return static_cast<float>(v); });
}
[[maybe_unused]] inline __m512i emulated_cvtepu8_epi32(__m128i a) {
  return convert_lanes<int32_t, uint8_t, __m512i>(a, [](uint8_t v) { return int32_t{v}; });
}
[[maybe_unused]] inline __m512i emulated_cvtepi8_epi32(__m128i a) {
  return convert_lanes<int32_t, int8_t, __m512i>(a, [](int8_t v) { return int32_t{v}; });
}
[[maybe_unused]] inline __m512i emulated_cvtepu8_epi16(__m256i a) {
  return convert_lanes<int16_t, uint8_t, __m512i>(a, [](uint8_t v) { return int16_t{v}; });
}
[[maybe_unused]] inline __m512i emulated_cvtepu16_epi32(__m256i a) {
  return convert_lanes<int32_t, uint16_t, __m512i>(a, [](uint16_t v) { return int32_t{v}; });
}
[[maybe_unused]] inline __m128i emulated_cvtepi32_epi8(__m512i a) {
  return convert_lanes<int8_t, int32_t, __m128i>(a, [](int32_t v) { return (int8_t)v; });
}
[[maybe_unused]] inline __m128i emulated_cvtusepi32_epi8(__m512i a) {
  return convert_lanes<uint8_t, uint32_t, __m128i>(
      a, [](uint32_t v) { return (uint8_t)(v < 255 ? v : 255); });
}

[[maybe_unused]] inline __m512d emulated_cvtepi32_pd(__m256i a) {
  return convert_lanes<double, int32_t, __m512d>(a,
                                                 [](int32_t v) { return static_cast<double>(v); });
}
[[maybe_unused]] inline __m512d emulated_cvtps_pd(__m256 a) {
  return convert_lanes<double, float, __m512d>(a, [](float v) { return double{v}; });
}
[[maybe_unused]] inline __m256 emulated_cvtpd_ps(__m512d a) {
  return convert_lanes<float, double, __m256>(a, [](double v) { return static_cast<float>(v); });
}

[[maybe_unused]] inline __m512 emulated_cvtph_ps(__m256i a) {
  __m128i half[2];
  memcpy(half, &a, sizeof(half));
  const __m256 wide[2] = {_mm256_cvtph_ps(half[0]), _mm256_cvtph_ps(half[1])};
  __m512 out;
  memcpy(&out, wide, sizeof(out));
  return out;
}
[[maybe_unused]] inline __m256i emulated_cvtps_ph(__m512 a) {
  __m256 wide[2];
  memcpy(wide, &a, sizeof(wide));
  const __m128i half[2] = {_mm256_cvtps_ph(wide[0], 0), _mm256_cvtps_ph(wide[1], 0)};
  __m256i out;
  memcpy(&out, half, sizeof(out));
  return out;
}

template <class T, class V, class From>
inline V masked_load(uint64_t mask, const From* from) {
  Lanes<T, V> out;
  for (int i = 0; i < out.kCount; ++i) {
    if (mask >> i & 1)
      memcpy(&out.lane[i], reinterpret_cast<const char*>(from) + i * sizeof(T), sizeof(T));
  }
  return out;
}

template <class T, class V, class To>
inline void masked_store(To* to, uint64_t mask, const V& v) {
  const Lanes<T, V> in(v);
  for (int i = 0; i < in.kCount; ++i) {
    if (mask >> i & 1) memcpy(reinterpret_cast<char*>(to) + i * sizeof(T), &in.lane[i], sizeof(T));
  }
}

[[maybe_unused]] inline int32_t emulated_reduce_add_epi32(__m512i a) {
  const Lanes<uint32_t, __m512i> in(a);
  uint32_t sum = 0;
  for (uint32_t v : in.lane) sum += v;
  return static_cast<int32_t>(sum);
}

}  // namespace
}  // namespace qnative

#undef _mm512_cvtps_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi16
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_epi8
#undef _mm512_cvtusepi32_epi8
#undef _mm512_reduce_add_epi32
#undef _mm512_cvtepi32_pd
#undef _mm512_cvtps_pd
#undef _mm512_cvtpd_ps
#undef _mm512_cvtph_ps
#undef _mm512_cvtps_ph
#define _mm512_cvtps_epi32(a) qnative::emulated_cvtps_epi32(a)
#define _mm512_cvtepi32_ps(a) qnative::emulated_cvtepi32_ps(a)
#define _mm512_cvtepu8_epi32(a) qnative::emulated_cvtepu8_epi32(a)
#define _mm512_cvtepi8_epi32(a) qnative::emulated_cvtepi8_epi32(a)
#define _mm512_cvtepu8_epi16(a) qnative::emulated_cvtepu8_epi16(a)
#define _mm512_cvtepu16_epi32(a) qnative::emulated_cvtepu16_epi32(a)
#define _mm512_cvtepi32_epi8(a) qnative::emulated_cvtepi32_epi8(a)
#define _mm512_cvtusepi32_epi8(a) qnative::emulated_cvtusepi32_epi8(a)
#define _mm512_reduce_add_epi32(a) qnative::emulated_reduce_add_epi32(a)
#define _mm512_cvtepi32_pd(a) qnative::emulated_cvtepi32_pd(a)
#define _mm512_cvtps_pd(a) qnative::emulated_cvtps_pd(a)
#define _mm512_cvtpd_ps(a) qnative::emulated_cvtpd_ps(a)
#define _mm512_cvtph_ps(a) qnative::emulated_cvtph_ps(a)
#define _mm512_cvtps_ph(a, rounding) qnative::emulated_cvtps_ph(a)

// SIMDe 0.7.4 has the function, under a macro of four arguments.
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

#undef _mm_maskz_loadu_epi8
#undef _mm256_maskz_loadu_epi8
#undef _mm512_maskz_loadu_epi8
#undef _mm512_maskz_loadu_epi32
#undef _mm512_maskz_loadu_ps
#undef _mm_mask_storeu_epi8
#undef _mm256_mask_storeu_epi8
#undef _mm512_mask_storeu_epi8
#undef _mm512_mask_storeu_epi32
#undef _mm512_mask_storeu_ps
#define _mm_maskz_loadu_epi8(k, p) qnative::masked_load<int8_t, __m128i>(k, p)
#define _mm256_maskz_loadu_epi8(k, p) qnative::masked_load<int8_t, __m256i>(k, p)
#define _mm512_maskz_loadu_epi8(k, p) qnative::masked_load<int8_t, __m512i>(k, p)
#define _mm512_maskz_loadu_epi32(k, p) qnative::masked_load<int32_t, __m512i>(k, p)
#define _mm512_maskz_loadu_ps(k, p) qnative::masked_load<float, __m512>(k, p)
#define _mm_mask_storeu_epi8(p, k, v) qnative::masked_store<int8_t>(p, k, v)
#define _mm256_mask_storeu_epi8(p, k, v) qnative::masked_store<int8_t>(p, k, v)
#define _mm512_mask_storeu_epi8(p, k, v) qnative::masked_store<int8_t>(p, k, v)
#define _mm512_mask_storeu_epi32(p, k, v) qnative::masked_store<int32_t>(p, k, v)
#define _mm512_mask_storeu_ps(p, k, v) qnative::masked_store<float>(p, k, v)

#endif
