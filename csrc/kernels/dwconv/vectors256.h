#pragma once

#include <immintrin.h>

#include "blocks.h"
#include "dwconv.h"
#include "simd/unroll.h"

// Shared by the ISAs of 256 bits: vectors of eight channels, and the epilogue.
namespace qnative::dwconv {
namespace {

class Vectors256 {
 public:
  using Vector = __m256i;

  // Otherwise g++ 12 loads again for every use.
  [[gnu::always_inline]] static Vector load(const void* from) {
    Vector v = _mm256_load_si256(static_cast<const Vector*>(from));
    asm("" : "+x"(v));
    return v;
  }

  explicit Vectors256(const Args& a)
      : hi_(_mm256_set1_ps(static_cast<float>(a.requantize.hi - a.requantize.zero_point))),
        zero_point_(_mm256_set1_epi16(static_cast<int16_t>(a.requantize.zero_point))),
        lo_(_mm256_set1_epi8(static_cast<char>(a.requantize.lo))),
        flip_(_mm256_set1_epi8(static_cast<char>(a.requantize.flip))),
        float_lo_(_mm256_set1_ps(a.float_lo)),
        float_hi_(_mm256_set1_ps(a.float_hi)),
        y_(a.y),
        float_output_(a.float_output) {}

  // Stores rows of kColumns outputs of `channels` channels: acc[0] at element `at` of y, the
  // outputs to its right and below it `right` and `below` elements further.
  template <int kColumns, int kCount>
  void output(const uint8_t* constants, int64_t channels, const Vector (&acc)[kCount], int64_t at,
              int64_t right, int64_t below) const;

 protected:
  static constexpr int64_t kHalf = sizeof(Vector);  // of a cell

  static void store(void* to, Vector v) { _mm256_store_si256(static_cast<Vector*>(to), v); }

 private:
  [[gnu::always_inline]] static __m256 real(Vector acc, const uint8_t* constants) {
    const auto* multiplier = reinterpret_cast<const float*>(constants + sizeof(Vector));
    const auto* bias = reinterpret_cast<const float*>(constants + 2 * sizeof(Vector));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), _mm256_load_ps(multiplier),
                           _mm256_load_ps(bias));
  }
  template <int kCount>
  Vector requantized(const uint8_t* constants, const Vector* acc) const;
  void store_float(float* to, __m256 r, int64_t count) const;
  // The low `count` bytes.
  static void store_bytes(uint8_t* to, int64_t bytes, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint8_t>(bytes >> (8 * i));
  }

  __m256 hi_;
  __m256i zero_point_, lo_, flip_;
  __m256 float_lo_, float_hi_;
  void* y_;
  bool float_output_;
};

// kCount (1, 2 or 4) outputs of 8 bytes. Saturation is the lower clamp: values below -32768, and
// INT_MIN, which cvtps gives for values below int32, become 0 when the zero point is added.
template <int kCount>
[[gnu::always_inline]] inline __m256i Vectors256::requantized(const uint8_t* constants,
                                                              const Vector* acc) const {
  Vector v[kCount];
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    v[i] = _mm256_cvtps_epi32(_mm256_min_ps(real(acc[i], constants), hi_));
  });
  const Vector front = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1 % kCount]), zero_point_);
  const Vector back =
      kCount <= 2
          ? front
          : _mm256_adds_epi16(_mm256_packs_epi32(v[2 % kCount], v[3 % kCount]), zero_point_);
  const Vector bytes = _mm256_max_epu8(_mm256_packus_epi16(front, back), lo_);
  // Dwords are channels 0-3 of the four outputs, then their channels 4-7.
  return _mm256_permutevar8x32_epi32(_mm256_xor_si256(bytes, flip_),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

[[gnu::always_inline]] inline void Vectors256::store_float(float* to, __m256 r,
                                                           int64_t count) const {
  // min and max return the second operand for NaN.
  r = _mm256_min_ps(float_hi_, _mm256_max_ps(float_lo_, r));
  if (count == 8) {
    _mm256_storeu_ps(to, r);
  } else {
    const Vector lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const Vector counts = _mm256_set1_epi32(static_cast<int>(count));  // < 8 < 2^31
    _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(counts, lanes), r);
  }
}

template <int kColumns, int kCount>
[[gnu::always_inline]] inline void Vectors256::output(const uint8_t* constants, int64_t channels,
                                                      const Vector (&acc)[kCount], int64_t at,
                                                      int64_t right, int64_t below) const {
  const auto place = [&](int i) __attribute__((always_inline)) {
    return i / kColumns * below + i % kColumns * right;
  };
  if (float_output_) {
    unroll<kCount>([&](auto i) __attribute__((always_inline)) {
      store_float(static_cast<float*>(y_) + at + place(i), real(acc[i], constants), channels);
    });
    return;
  }
  constexpr int kGroup = kCount < 4 ? kCount : 4;
  __m128i pairs[2 * ceil_div(kCount, 4)];
  unroll<kCount / kGroup>([&](auto i) __attribute__((always_inline)) {
    const Vector bytes = requantized<kGroup>(constants, acc + i * kGroup);
    pairs[2 * i] = _mm256_castsi256_si128(bytes);
    pairs[2 * i + 1] = _mm256_extracti128_si256(bytes, 1);
  });
  uint8_t* y = static_cast<uint8_t*>(y_) + at;
  // Otherwise g++ 12 keeps a pointer for each output, most of them in memory.
  asm("" : "+r"(y));
  if (channels != 8) {
    unroll<kCount>([&](auto i) __attribute__((always_inline)) {
      store_bytes(y + place(i), _mm_extract_epi64(pairs[i / 2], i % 2), channels);
    });
    return;
  }
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    if constexpr (i % 2 == 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + place(i)), pairs[i / 2]);
    } else {
      // _mm_storeh_pd would be one instruction, but its type claims that y is aligned.
      const __m128i high = _mm_unpackhi_epi64(pairs[i / 2], pairs[i / 2]);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + place(i)), high);
    }
  });
}

}  // namespace
}  // namespace qnative::dwconv
