#include <immintrin.h>

#include "body.h"
#include "simd/unroll.h"
#include "vectors256.h"

// Exact in int16: a bundle is two rows, and vpmaddwd multiplies two taps of eight channels. A cell
// is the first eight channels, then the other eight.
namespace qnative::dwconv {
namespace {

class TapsAvx2 : public Vectors256 {
 public:
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

  using Vectors256::Vectors256;

 private:
  template <bool kFlip>
  static Vector load_twice(const uint8_t* from) {
    const Vector x =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return kFlip ? _mm256_xor_si256(x, _mm256_set1_epi8(static_cast<char>(0x80))) : x;
  }
  template <bool kFlip>
  static void interleave_cells(const Source (&rows)[kHeight], uint8_t* to, int64_t count);
};

void TapsAvx2::arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* unit) {
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

// Four cells at a time: this is a third of the work of a convolution of stride 2.
template <bool kFlip>
void TapsAvx2::interleave_cells(const Source (&rows)[kHeight], uint8_t* to, int64_t count) {
  // Widens four of the eight pairs of bytes in each lane to int16.
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

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  run<TapsAvx2>(args, row_begin, row_end, scratch);
}

}  // namespace qnative::dwconv
