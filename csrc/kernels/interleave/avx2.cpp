#include "simd/avx2.h"

#include "interleave.h"

namespace qnative::interleave {

Fn scalar;

namespace {

// Indices for pshufb: from 16 bytes of plane c to 16-byte block `block` of 16 pixels; 0x80 gives 0.
struct Order {
  alignas(16) uint8_t index[3][3][16];
  constexpr Order() : index{} {
    for (int block = 0; block < 3; ++block) {
      for (int b = 0; b < 16; ++b) {
        const int at = 16 * block + b;
        for (int c = 0; c < 3; ++c) {
          index[block][c][b] = at % 3 == c ? static_cast<uint8_t>(at / 3) : 0x80;
        }
      }
    }
  }
};
constexpr Order kOrder;

}  // namespace

void avx2(const uint8_t* x, int64_t plane_stride, uint8_t* y, int64_t n, uint8_t flip) {
  const __m128i flips = _mm_set1_epi8(static_cast<char>(flip));
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const auto plane = [&](int64_t c) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + c * plane_stride + i));
    };
    const __m128i planes[] = {plane(0), plane(1), plane(2)};
    for (int block = 0; block < 3; ++block) {
      const auto placed = [&](int c) {
        return _mm_shuffle_epi8(
            planes[c], _mm_load_si128(reinterpret_cast<const __m128i*>(kOrder.index[block][c])));
      };
      const __m128i pixels = _mm_or_si128(_mm_or_si128(placed(0), placed(1)), placed(2));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 3 * i + 16 * block),
                       _mm_xor_si128(pixels, flips));
    }
  }
  scalar(x + i, plane_stride, y + 3 * i, n - i, flip);
}

}  // namespace qnative::interleave
