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
  static constexpr int64_t kFillUnits = 1;

  static void arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* unit);
  static void interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to, int64_t count) {
    if (flip != 0) return interleave_cells<true>(rows, to, count);
    interleave_cells<false>(rows, to, count);
  }
  static void pad(uint8_t value, uint8_t* to, int64_t count) {
    for (int64_t i = 0; i < 2 * count; ++i) store(to + i * kHalf, _mm256_set1_epi16(value));
  }
  // Opaque, or g++ 12 loads again for every use.
  [[gnu::always_inline]] static Vector load(const void* from) {
    Vector v = _mm256_load_si256(static_cast<const Vector*>(from));
    asm("" : "+x"(v));
    return v;
  }
  // As assembly, because g++ 12 spills an array of accumulators that intrinsics update.
  [[gnu::always_inline]] static void multiply_add(Vector& acc, Vector x, Vector w) {
    Vector products;
    asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(x), "x"(w));
    asm("vpaddd %2, %1, %0" : "=x"(acc) : "x"(acc), "x"(products));
  }
  template <int64_t kOffset>
  [[gnu::always_inline]] static void multiply_add_from(Vector& acc, const void* x, Vector w) {
    // An array element, because g++ 12 folds no other constant offset into a memory operand.
    constexpr int64_t kIndex = kOffset / sizeof(Vector);
    struct Vectors {
      Vector at[kIndex + 1];
    };
    const auto* vectors = static_cast<const Vectors*>(x);
    Vector products;
    asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(w), "m"(vectors->at[kIndex]));
    asm("vpaddd %2, %1, %0" : "=x"(acc) : "x"(acc), "x"(products));
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

  // Rows of kColumns outputs of `channels` channels. acc[0] goes to element `at` of y, the outputs
  // to its right and below it are `right` and `below` elements further.
  template <int kColumns, int kCount>
  void output(const uint8_t* constants, int64_t channels, const Vector (&acc)[kCount], int64_t at,
              int64_t right, int64_t below) const;

 private:
  static constexpr int64_t kHalf = sizeof(Vector);

  static void store(void* to, Vector v) { _mm256_store_si256(static_cast<Vector*>(to), v); }
  template <bool kFlip>
  static Vector load_twice(const uint8_t* from) {
    const Vector x =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return kFlip ? _mm256_xor_si256(x, _mm256_set1_epi8(static_cast<char>(0x80))) : x;
  }
  template <bool kFlip>
  static void interleave_cells(const Source (&rows)[kHeight], uint8_t* to, int64_t count);

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

void Avx2::arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* unit) {
  const int64_t row_size = ceil_div(a.kernel_w, 4) * kCell;
  for (int64_t half = 0; half < 2; ++half) {
    uint8_t* to = unit + half * p.weight_size / 2;
    for (int64_t kw = 0; kw < a.kernel_w; ++kw) {
      const int8_t* column = packed + kw / 4 * kCell + half * kHalf;
      const __m128i up = _mm_cvtsi32_si128(24 - 8 * static_cast<int>(kw % 4));
      const auto tap_on_top = [&](int64_t kh) {
        if (kh < 0 || kh >= kernel_rows(a)) return _mm256_setzero_si256();
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

// Four cells at a time, because this is a third of the work of a stride 2 convolution.
template <bool kFlip>
void Avx2::interleave_cells(const Source (&rows)[kHeight], uint8_t* to, int64_t count) {
  // In each lane, four of its eight pairs of bytes as pairs of int16.
  const Vector widen =
      _mm256_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1,  //
                       8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1);
  const uint8_t* row0 = rows[0].from;
  const uint8_t* row1 = rows[1].from;
  const int64_t stride0 = rows[0].stride, stride1 = rows[1].stride;
  const auto cell = [&](int64_t i) __attribute__((always_inline)) {
    const Vector x0 = load_twice<kFlip>(row0 + i * stride0);
    const Vector x1 = load_twice<kFlip>(row1 + i * stride1);
    store(to + i * kCell, _mm256_shuffle_epi8(_mm256_unpacklo_epi8(x0, x1), widen));
    store(to + i * kCell + kHalf, _mm256_shuffle_epi8(_mm256_unpackhi_epi8(x0, x1), widen));
  };
  const auto advance = [&](int64_t cells) __attribute__((always_inline)) {
    row0 += cells * stride0;
    row1 += cells * stride1;
    to += cells * kCell;
  };
  for (; count >= 4; count -= 4, advance(4)) unroll<4>(cell);
  for (; count > 0; --count, advance(1)) cell(0);
}

// kCount outputs of 8 bytes, 1, 2 or 4. Saturation does the lower clamp: what is below -32768 (and
// INT_MIN, which cvtps gives below int32) ends as 0 after the zero point is added.
template <int kCount>
[[gnu::always_inline]] inline __m256i Avx2::requantized(const uint8_t* constants,
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
  // Dwords are channels 0-3 of the four outputs, then channels 4-7 of them.
  return _mm256_permutevar8x32_epi32(_mm256_xor_si256(bytes, flip_),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

[[gnu::always_inline]] inline void Avx2::store_float(float* to, __m256 r, int64_t count) const {
  // The second operand is what min and max give for NaN.
  r = _mm256_min_ps(float_hi_, _mm256_max_ps(float_lo_, r));
  if (count == 8) {
    _mm256_storeu_ps(to, r);
  } else {
    const Vector lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const Vector counts = _mm256_set1_epi32(static_cast<int>(count));
    _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(counts, lanes), r);
  }
}

template <int kColumns, int kCount>
[[gnu::always_inline]] inline void Avx2::output(const uint8_t* constants, int64_t channels,
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
  __m128i pairs[(kCount + 3) / 4 * 2];
  unroll<kCount / kGroup>([&](auto i) __attribute__((always_inline)) {
    const Vector bytes = requantized<kGroup>(constants, acc + i * kGroup);
    pairs[2 * i] = _mm256_castsi256_si128(bytes);
    pairs[2 * i + 1] = _mm256_extracti128_si256(bytes, 1);
  });
  uint8_t* y = static_cast<uint8_t*>(y_) + at;
  // Opaque, or g++ 12 keeps a pointer for each output, most of them in memory.
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
      // _mm_storeh_pd would do it at once, but says that y is aligned.
      const __m128i high = _mm_unpackhi_epi64(pairs[i / 2], pairs[i / 2]);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + place(i)), high);
    }
  });
}

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  run<Avx2>(args, row_begin, row_end, scratch);
}

}  // namespace qnative::dwconv
