#include <immintrin.h>
#include <string.h>

#include "body.h"
#include "simd/unroll.h"

// Exact in int16: a bundle is two rows, and vpmaddwd multiplies two taps of eight channels. A cell
// is 8 channels, then the other 8.
namespace qnative::dwconv {
namespace {

class Avx2 {
 public:
  using Vector = __m256i;
  static constexpr int64_t kHeight = 2;

  static void arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* to);
  static void interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to, int64_t count);
  static void pad(uint8_t value, uint8_t* to, int64_t count) {
    for (int64_t i = 0; i < 2 * count; ++i) store(to + i * kHalf, _mm256_set1_epi16(value));
  }
  static Vector load(const void* from) {
    return _mm256_load_si256(static_cast<const Vector*>(from));
  }
  static Vector start(const int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
  }
  // As assembly, because g++ 12 spills an array of accumulators that intrinsics update.
  [[gnu::always_inline]] static void multiply_add(Vector& acc, Vector x, Vector w) {
    Vector products;
    asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(x), "x"(w));
    asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
  }

  explicit Avx2(const Args& a)
      : hi_(_mm256_set1_ps(static_cast<float>(a.requantize.hi - a.requantize.zero_point))),
        zero_point_(_mm256_set1_epi16(static_cast<int16_t>(a.requantize.zero_point))),
        lo_(_mm256_set1_epi8(static_cast<char>(a.requantize.lo))),
        flip_(_mm256_set1_epi8(static_cast<char>(a.requantize.flip))),
        float_lo_(_mm256_set1_ps(a.float_lo)),
        float_hi_(_mm256_set1_ps(a.float_hi)),
        y_(a.y),
        float_output_(a.float_output) {}

  // at[i]: the element of y where acc[i] goes.
  template <int kCount>
  void output(const Channels& c, const Vector (&acc)[kCount], const int64_t (&at)[kCount]) const;

 private:
  static constexpr int64_t kHalf = sizeof(Vector);

  static void store(void* to, Vector v) { _mm256_store_si256(static_cast<Vector*>(to), v); }
  static Vector load_twice(const uint8_t* from) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  [[gnu::always_inline]] static __m256 real(Vector acc, const Channels& c) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(c.multiplier),
                           _mm256_loadu_ps(c.bias));
  }
  template <int kCount>
  void output_float(const Channels& c, const Vector (&acc)[kCount],
                    const int64_t (&at)[kCount]) const;

  __m256 hi_;
  __m256i zero_point_, lo_, flip_;
  __m256 float_lo_, float_hi_;
  void* y_;
  bool float_output_;
};

void Avx2::arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* to) {
  const int64_t row_size = ceil_div(a.kernel_w, 4) * kCell;
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t kw = 0; kw < a.kernel_w; ++kw) {
      const int8_t* column = packed + kw / 4 * kCell + half * kHalf;
      const __m128i up = _mm_cvtsi32_si128(24 - 8 * static_cast<int>(kw % 4));
      const auto tap_on_top = [&](int64_t kh) {
        if (kh < 0 || kh >= a.kernel_h) return _mm256_setzero_si256();
        const auto* from = reinterpret_cast<const Vector*>(column + kh * row_size);
        return _mm256_sll_epi32(_mm256_loadu_si256(from), up);
      };
      for (int64_t shift = 0; shift < p.shifts; ++shift) {
        for (int64_t i = 0; i < p.bundles; ++i) {
          const Vector even = _mm256_srai_epi32(tap_on_top(2 * i - shift), 24);
          const Vector odd = _mm256_srai_epi32(tap_on_top(2 * i + 1 - shift), 8);
          store(to, _mm256_blend_epi16(even, odd, 0xaa));
          to += kHalf;
        }
      }
    }
  }
}

void Avx2::interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to, int64_t count) {
  // In each lane, four of its eight pairs of bytes as pairs of int16.
  const Vector widen =
      _mm256_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1,  //
                       8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1);
  const Vector flips = _mm256_set1_epi8(static_cast<char>(flip));
  const uint8_t* row0 = rows[0].from;
  const uint8_t* row1 = rows[1].from;
  for (int64_t i = 0; i < count; ++i) {
    const Vector x0 = _mm256_xor_si256(load_twice(row0), flips);
    const Vector x1 = _mm256_xor_si256(load_twice(row1), flips);
    store(to, _mm256_shuffle_epi8(_mm256_unpacklo_epi8(x0, x1), widen));
    store(to + kHalf, _mm256_shuffle_epi8(_mm256_unpackhi_epi8(x0, x1), widen));
    to += kCell;
    row0 += rows[0].stride;
    row1 += rows[1].stride;
  }
}

template <int kCount>
[[gnu::always_inline]] inline void Avx2::output_float(const Channels& c,
                                                      const Vector (&acc)[kCount],
                                                      const int64_t (&at)[kCount]) const {
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    float* y = static_cast<float*>(y_) + at[i];
    // The second operand is what min and max give for NaN.
    const __m256 r = _mm256_min_ps(float_hi_, _mm256_max_ps(float_lo_, real(acc[i], c)));
    if (c.count == 8) {
      _mm256_storeu_ps(y, r);
    } else {
      const Vector lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      const Vector count = _mm256_set1_epi32(static_cast<int>(c.count));
      _mm256_maskstore_ps(y, _mm256_cmpgt_epi32(count, lanes), r);
    }
  });
}

// Saturation does the lower clamp: what is below -32768 (and INT_MIN, which cvtps gives below
// int32) ends as 0 after the zero point is added.
template <int kCount>
[[gnu::always_inline]] inline void Avx2::output(const Channels& c, const Vector (&acc)[kCount],
                                                const int64_t (&at)[kCount]) const {
  if (float_output_) return output_float(c, acc, at);
  Vector v[kCount];
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    v[i] = _mm256_cvtps_epi32(_mm256_min_ps(real(acc[i], c), hi_));
  });
  const Vector front = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1 % kCount]), zero_point_);
  const Vector back =
      kCount <= 2
          ? front
          : _mm256_adds_epi16(_mm256_packs_epi32(v[2 % kCount], v[3 % kCount]), zero_point_);
  Vector bytes = _mm256_max_epu8(_mm256_packus_epi16(front, back), lo_);
  // Dwords are channels 0-3 of the four outputs, then channels 4-7 of them.
  bytes = _mm256_permutevar8x32_epi32(_mm256_xor_si256(bytes, flip_),
                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  const __m128i pairs[2] = {_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)};
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    uint8_t* y = static_cast<uint8_t*>(y_) + at[i];
    if (c.count != 8) {
      const int64_t eight = _mm_extract_epi64(pairs[i / 2], i % 2);
      memcpy(y, &eight, c.count);
    } else if constexpr (i % 2 == 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y), pairs[i / 2]);
    } else {
      _mm_storeh_pd(reinterpret_cast<double*>(y), _mm_castsi128_pd(pairs[i / 2]));
    }
  });
}

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  run<Avx2>(args, row_begin, row_end, scratch);
}

}  // namespace qnative::dwconv
