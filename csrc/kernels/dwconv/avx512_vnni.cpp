#include "body.h"
#include "simd/intrinsics_avx512.h"
#include "simd/unroll.h"
#include "strided_avx512.h"

// A bundle is four rows, and vpdpbusd multiplies four taps of sixteen channels.
namespace qnative::dwconv {
namespace {

class TapsAvx512 {
 public:
  using Vector = __m512i;
  static constexpr int64_t kHeight = 4;
  static constexpr int64_t kFillUnits = 4;

  static void arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* to);
  static void interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to, int64_t count);
  static void interleave_units(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to,
                               int64_t unit, int64_t count);
  static void pad(uint8_t value, uint8_t* to, int64_t count) {
    const Vector v = _mm512_set1_epi8(static_cast<char>(value));
    for (int64_t i = 0; i < count; ++i) _mm512_store_si512(to + i * kCell, v);
  }
  static Vector load(const void* from) { return _mm512_load_si512(from); }
  [[gnu::always_inline]] static void multiply_add(Vector& acc, Vector x, Vector w) {
    dpbusd(acc, x, w);
  }
  template <int64_t kOffset>
  [[gnu::always_inline]] static void multiply_add_from(Vector& acc, const uint8_t* x, Vector w) {
    dpbusd(acc, load(x + kOffset), w);
  }

  explicit TapsAvx512(const Args& a)
      : hi_(_mm512_set1_ps(static_cast<float>(a.requantize.hi - a.requantize.zero_point))),
        zero_point_(_mm512_set1_epi16(static_cast<int16_t>(a.requantize.zero_point))),
        lo_(_mm512_set1_epi8(static_cast<char>(a.requantize.lo))),
        flip_(_mm512_set1_epi8(static_cast<char>(a.requantize.flip))),
        float_lo_(_mm512_set1_ps(a.float_lo)),
        float_hi_(_mm512_set1_ps(a.float_hi)),
        saturates_(saturates(a.requantize, a.small)),
        y_(a.y),
        y_pixel_(a.y_pixel),
        float_output_(a.float_output) {}

  // Stores rows of kColumns outputs of `channels` channels: acc[0] at element `at` of y, the
  // outputs to its right and below it `right` and `below` elements further.
  template <int kColumns, int kCount>
  void output(const uint8_t* constants, int64_t channels, const Vector (&acc)[kCount], int64_t at,
              int64_t right, int64_t below) const;

  // Stores neighbouring outputs of the channels in the mask of a group of 64. constants: kParts64
  // registers of multiplier, then kParts64 of bias.
  template <int kColumns>
  void output64(const uint8_t* constants, __mmask64 channels,
                const Vector (&acc)[kColumns][kParts64], int64_t at) const;
  int64_t y_pixel() const { return y_pixel_; }

 private:
  // The permutation from 16 channels of each of four rows to four rows of each channel.
  static Vector interleaving() {
    alignas(64) uint8_t order[64];
    for (int i = 0; i < 64; ++i) order[i] = static_cast<uint8_t>(i % 4 * 16 + i / 4);
    return _mm512_load_si512(order);
  }
  // Columns [4 * i, 4 * i + 4) of a row of the packed kernel; zeros outside it.
  static Vector packed_row(const Args& a, const int8_t* packed, int64_t kh, int64_t i) {
    if (kh < 0 || kh >= kernel_rows(a)) return _mm512_setzero_si512();
    return _mm512_loadu_si512(packed + (kh * ceil_div(a.kernel_w, 4) + i) * kCell);
  }
  [[gnu::always_inline]] static __m512 real(Vector acc, const uint8_t* multiplier,
                                            const uint8_t* bias) {
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), _mm512_load_ps(multiplier),
                           _mm512_load_ps(bias));
  }
  [[gnu::always_inline]] static __m512 real(Vector acc, const uint8_t* constants) {
    return real(acc, constants + sizeof(Vector), constants + 2 * sizeof(Vector));
  }
  template <int kCount>
  Vector requantized(const __m512 (&r)[kCount]) const;
  void store_float(float* to, __m512 r, int64_t count) const;
  void store_float64(float* to, __mmask64 channels, __m512 r0, __m512 r1, __m512 r2,
                     __m512 r3) const;

  __m512 hi_;
  __m512i zero_point_, lo_, flip_;
  __m512 float_lo_, float_hi_;
  bool saturates_;
  void* y_;
  int64_t y_pixel_;
  bool float_output_;
};

// Transposes the 4 x 4 bytes of `rows` in each 32-bit lane.
[[gnu::always_inline]] inline void transpose(__m512i (&rows)[4]) {
  constexpr __mmask64 kOddBytes = 0xaaaaaaaaaaaaaaaa;
  constexpr __mmask32 kOddWords = 0xaaaaaaaa;
  __m512i even[2], odd[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i a = rows[2 * i], b = rows[2 * i + 1];
    even[i] = _mm512_mask_blend_epi8(kOddBytes, a, _mm512_slli_epi32(b, 8));
    odd[i] = _mm512_mask_blend_epi8(kOddBytes, _mm512_srli_epi32(a, 8), b);
  }
  rows[0] = _mm512_mask_blend_epi16(kOddWords, even[0], _mm512_slli_epi32(even[1], 16));
  rows[1] = _mm512_mask_blend_epi16(kOddWords, odd[0], _mm512_slli_epi32(odd[1], 16));
  rows[2] = _mm512_mask_blend_epi16(kOddWords, _mm512_srli_epi32(even[0], 16), even[1]);
  rows[3] = _mm512_mask_blend_epi16(kOddWords, _mm512_srli_epi32(odd[0], 16), odd[1]);
}

void TapsAvx512::arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* to) {
  for (int64_t kw = 0; kw < a.kernel_w; kw += 4) {
    for (int64_t shift = 0; shift < p.shifts; ++shift) {
      for (int64_t i = 0; i < p.bundles; ++i) {
        Vector taps[4];
        for (int64_t j = 0; j < 4; ++j) taps[j] = packed_row(a, packed, 4 * i + j - shift, kw / 4);
        transpose(taps);
        for (int64_t j = 0; j < smaller(4, a.kernel_w - kw); ++j) {
          const int64_t index = ((kw + j) * p.shifts + shift) * p.bundles + i;
          _mm512_store_si512(to + index * kCell, taps[j]);
        }
      }
    }
  }
}

void TapsAvx512::interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to,
                            int64_t count) {
  const auto load16 = [](const uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  const Vector transposed = interleaving();
  const Vector flips = _mm512_set1_epi8(static_cast<char>(flip));
  Source r[kHeight] = {rows[0], rows[1], rows[2], rows[3]};
  for (int64_t i = 0; i < count; ++i) {
    Vector x = _mm512_castsi128_si512(load16(r[0].from));
    x = _mm512_inserti32x4(x, load16(r[1].from), 1);
    x = _mm512_inserti32x4(x, load16(r[2].from), 2);
    x = _mm512_inserti32x4(x, load16(r[3].from), 3);
    x = _mm512_permutexvar_epi8(transposed, x);
    _mm512_store_si512(to, _mm512_xor_si512(x, flips));
    to += kCell;
    for (Source& row : r) row.from += row.stride;
  }
}

// Reads whole cache lines of x. At 16 bytes a time every line would be read four times, from L2 if
// the row is long.
void TapsAvx512::interleave_units(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to,
                                  int64_t unit, int64_t count) {
  const Vector transposed = interleaving();
  const Vector flips = _mm512_set1_epi8(static_cast<char>(flip));
  Source r[kHeight] = {rows[0], rows[1], rows[2], rows[3]};
  const auto put = [&](int64_t u, Vector x) __attribute__((always_inline)) {
    x = _mm512_permutexvar_epi8(transposed, x);
    _mm512_store_si512(to + u * unit, _mm512_xor_si512(x, flips));
  };
  for (int64_t i = 0; i < count; ++i) {
    const Vector x0 = _mm512_loadu_si512(r[0].from), x1 = _mm512_loadu_si512(r[1].from);
    const Vector x2 = _mm512_loadu_si512(r[2].from), x3 = _mm512_loadu_si512(r[3].from);
    // Lanes of 16 channels: 0 and 1 of two rows, then 2 and 3 of them.
    const Vector front01 = _mm512_shuffle_i32x4(x0, x1, 0x44);
    const Vector front23 = _mm512_shuffle_i32x4(x2, x3, 0x44);
    const Vector back01 = _mm512_shuffle_i32x4(x0, x1, 0xee);
    const Vector back23 = _mm512_shuffle_i32x4(x2, x3, 0xee);
    put(0, _mm512_shuffle_i32x4(front01, front23, 0x88));
    put(1, _mm512_shuffle_i32x4(front01, front23, 0xdd));
    put(2, _mm512_shuffle_i32x4(back01, back23, 0x88));
    put(3, _mm512_shuffle_i32x4(back01, back23, 0xdd));
    to += kCell;
    for (Source& row : r) row.from += row.stride;
  }
}

// kCount (1, 2 or 4) outputs of 16 bytes: lane i has 4 bytes of lane i of each, in turn. Saturation
// is the lower clamp: values below -32768, and INT_MIN, which cvtps gives for values below int32,
// become 0 when the zero point is added.
template <int kCount>
[[gnu::always_inline]] inline __m512i TapsAvx512::requantized(const __m512 (&r)[kCount]) const {
  Vector v[kCount];
  if (saturates_) {
    unroll<kCount>([&](auto i) __attribute__((always_inline)) { v[i] = _mm512_cvtps_epi32(r[i]); });
    const Vector front = _mm512_packs_epi32(v[0], v[1 % kCount]);
    const Vector back = kCount <= 2 ? front : _mm512_packs_epi32(v[2 % kCount], v[3 % kCount]);
    return _mm512_packus_epi16(front, back);
  }
  unroll<kCount>([&](auto i) __attribute__((always_inline)) {
    v[i] = _mm512_cvtps_epi32(_mm512_min_ps(r[i], hi_));
  });
  const Vector front = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1 % kCount]), zero_point_);
  const Vector back =
      kCount <= 2
          ? front
          : _mm512_adds_epi16(_mm512_packs_epi32(v[2 % kCount], v[3 % kCount]), zero_point_);
  return _mm512_xor_si512(_mm512_max_epu8(_mm512_packus_epi16(front, back), lo_), flip_);
}

[[gnu::always_inline]] inline void TapsAvx512::store_float(float* to, __m512 r,
                                                           int64_t count) const {
  // min and max return the second operand for NaN.
  r = _mm512_min_ps(float_hi_, _mm512_max_ps(float_lo_, r));
  if (count == kUnit) {
    _mm512_storeu_ps(to, r);
  } else {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1 << count) - 1), r);
  }
}

template <int kColumns, int kCount>
[[gnu::always_inline]] inline void TapsAvx512::output(const uint8_t* constants, int64_t channels,
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
  uint8_t* y = static_cast<uint8_t*>(y_) + at;
  // Otherwise g++ 12 keeps a pointer for each output, most of them in memory.
  asm("" : "+r"(y));
  unroll<kCount / kGroup>([&](auto group) __attribute__((always_inline)) {
    __m512 r[kGroup];
    unroll<kGroup>([&](auto i) __attribute__((always_inline)) {
      r[i] = real(acc[group * kGroup + i], constants);
    });
    // Lane i has the 16 channels of output i.
    const Vector bytes = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), requantized(r));
    unroll<kGroup>([&](auto i) __attribute__((always_inline)) {
      uint8_t* to = y + place(group * kGroup + i);
      const __m128i one = _mm512_extracti32x4_epi32(bytes, i);
      if (channels == kUnit) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), one);
      } else {
        _mm_mask_storeu_epi8(to, static_cast<__mmask16>((1 << channels) - 1), one);
      }
    });
  });
}

template <int kColumns>
[[gnu::always_inline]] inline void TapsAvx512::output64(const uint8_t* constants,
                                                        __mmask64 channels,
                                                        const Vector (&acc)[kColumns][kParts64],
                                                        int64_t at) const {
  __m512 r[kColumns][kParts64];
  unroll<kParts64>([&](auto part) __attribute__((always_inline)) {
    unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
      r[j][part] =
          real(acc[j][part], constants + part * kCell, constants + (kParts64 + part) * kCell);
    });
  });
  unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
    if (float_output_) {
      store_float64(static_cast<float*>(y_) + at + j * y_pixel_, channels, r[j][0], r[j][1],
                    r[j][2], r[j][3]);
    } else {
      _mm512_mask_storeu_epi8(static_cast<uint8_t*>(y_) + at + j * y_pixel_, channels,
                              requantized(r[j]));
    }
  });
}

// Not an array of registers: its address would keep all sums in memory.
[[gnu::noinline]] void TapsAvx512::store_float64(float* to, __mmask64 channels, __m512 r0,
                                                 __m512 r1, __m512 r2, __m512 r3) const {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 0, 1, 2, 3, 16, 17, 18, 19);
  for (int lane = 0; lane < 4; ++lane) {
    const __m512i from = _mm512_add_epi32(first, _mm512_set1_epi32(4 * lane));
    const __m512 front = _mm512_permutex2var_ps(r0, from, r1);
    const __m512 back = _mm512_permutex2var_ps(r2, from, r3);
    const __m512 ordered = _mm512_mask_blend_ps(0xff00, front, back);
    _mm512_mask_storeu_ps(to + lane * kUnit, static_cast<__mmask16>(channels >> (lane * kUnit)),
                          _mm512_min_ps(float_hi_, _mm512_max_ps(float_lo_, ordered)));
  }
}

}  // namespace

Fn avx512_vnni;
void avx512_vnni(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  if (is_strided(args)) {
    run_strided(TapsAvx512(args), args, row_begin, row_end, reinterpret_cast<uint8_t*>(scratch));
    return;
  }
  run<TapsAvx512>(args, row_begin, row_end, scratch);
}

}  // namespace qnative::dwconv
