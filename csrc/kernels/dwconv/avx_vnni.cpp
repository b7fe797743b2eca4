#include <immintrin.h>

#include "body.h"
#include "simd/dpbusd_avx2.h"
#include "simd/unroll.h"
#include "vectors256.h"

// A bundle is four rows, and vpdpbusd multiplies four taps of eight channels. A cell is the first
// eight channels, then the other eight.
namespace qnative::dwconv {
namespace {

class TapsAvxVnni : public Vectors256 {
 public:
  static constexpr int64_t kHeight = 4;
  static constexpr int64_t kFillUnits = 1;

  static void arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* unit);
  static void interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to, int64_t count);
  static void pad(uint8_t value, uint8_t* to, int64_t count) {
    for (int64_t i = 0; i < 2 * count; ++i) {
      store(to + i * kHalf, _mm256_set1_epi8(static_cast<char>(value)));
    }
  }
  [[gnu::always_inline]] static void multiply_add(Vector& acc, Vector x, Vector w) {
    dpbusd(acc, x, w);
  }
  template <int64_t kOffset>
  [[gnu::always_inline]] static void multiply_add_from(Vector& acc, const uint8_t* x, Vector w) {
    dpbusd(acc, load(x + kOffset), w);
  }

  using Vectors256::Vectors256;
};

// Transposes the 4 x 4 bytes of `rows` in each 32-bit lane.
[[gnu::always_inline]] inline void transpose(__m256i (&rows)[4]) {
  const __m256i odd_bytes = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
  __m256i even[2], odd[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i a = rows[2 * i], b = rows[2 * i + 1];
    even[i] = _mm256_blendv_epi8(a, _mm256_slli_epi32(b, 8), odd_bytes);
    odd[i] = _mm256_blendv_epi8(_mm256_srli_epi32(a, 8), b, odd_bytes);
  }
  rows[0] = _mm256_blend_epi16(even[0], _mm256_slli_epi32(even[1], 16), 0xaa);
  rows[1] = _mm256_blend_epi16(odd[0], _mm256_slli_epi32(odd[1], 16), 0xaa);
  rows[2] = _mm256_blend_epi16(_mm256_srli_epi32(even[0], 16), even[1], 0xaa);
  rows[3] = _mm256_blend_epi16(_mm256_srli_epi32(odd[0], 16), odd[1], 0xaa);
}

void TapsAvxVnni::arrange(const Args& a, const Plan& p, const int8_t* packed, uint8_t* unit) {
  const int64_t row_size = ceil_div(a.kernel_w, 4) * kCell;
  for (int64_t half = 0; half < 2; ++half) {
    uint8_t* const to = unit + half * p.weight_size / 2;
    for (int64_t kw = 0; kw < a.kernel_w; kw += 4) {
      const int8_t* columns = packed + kw / 4 * kCell + half * kHalf;
      for (int64_t shift = 0; shift < p.shifts; ++shift) {
        for (int64_t i = 0; i < p.bundles; ++i) {
          Vector taps[4];
          for (int64_t j = 0; j < 4; ++j) {
            const int64_t kh = 4 * i + j - shift;
            const bool is_inside = kh >= 0 && kh < kernel_rows(a);
            const auto* from = reinterpret_cast<const Vector*>(columns + kh * row_size);
            taps[j] = is_inside ? _mm256_loadu_si256(from) : _mm256_setzero_si256();
          }
          transpose(taps);
          for (int64_t j = 0; j < smaller(4, a.kernel_w - kw); ++j) {
            const int64_t index = ((kw + j) * p.shifts + shift) * p.bundles + i;
            store(to + index * kHalf, taps[j]);
          }
        }
      }
    }
  }
}

void TapsAvxVnni::interleave(const Source (&rows)[kHeight], uint8_t flip, uint8_t* to,
                             int64_t count) {
  const Vector flips = _mm256_set1_epi8(static_cast<char>(flip));
  Source r[kHeight] = {rows[0], rows[1], rows[2], rows[3]};
  // Lanes of four channels: 0-3 and 4-7 of the low or high eight.
  const auto put = [&](uint8_t* half, Vector front, Vector back) __attribute__((always_inline)) {
    const Vector quads = _mm256_blend_epi32(_mm256_unpacklo_epi16(front, back),
                                            _mm256_unpackhi_epi16(front, back), 0xf0);
    store(half, _mm256_xor_si256(quads, flips));
  };
  for (int64_t i = 0; i < count; ++i, to += kCell) {
    Vector x[kHeight];
    unroll<kHeight>([&](auto j) __attribute__((always_inline)) {
      const auto* from = reinterpret_cast<const __m128i*>(r[j].from);
      x[j] = _mm256_broadcastsi128_si256(_mm_loadu_si128(from));
      r[j].from += r[j].stride;
    });
    put(to, _mm256_unpacklo_epi8(x[0], x[1]), _mm256_unpacklo_epi8(x[2], x[3]));
    put(to + kHalf, _mm256_unpackhi_epi8(x[0], x[1]), _mm256_unpackhi_epi8(x[2], x[3]));
  }
}

}  // namespace

Fn avx_vnni;
void avx_vnni(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  run<TapsAvxVnni>(args, row_begin, row_end, scratch);
}

}  // namespace qnative::dwconv
