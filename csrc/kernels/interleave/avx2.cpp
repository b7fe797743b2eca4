#include "simd/avx2.h"

#include <string.h>

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

constexpr int64_t kBlock = 16;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The transpose of 16 x 16 bytes: four rounds that interleave row i with row i + 8.
[[gnu::always_inline]] inline void transpose_block(__m128i (&rows)[kBlock]) {
  for (int round = 0; round < 4; ++round) {
    __m128i next[kBlock];
    for (int i = 0; i < kBlock / 2; ++i) {
      next[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + kBlock / 2]);
      next[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + kBlock / 2]);
    }
    for (int i = 0; i < kBlock; ++i) rows[i] = next[i];
  }
}

// Planes [c, c + 16) of pixels [i, i + 16).
void transpose_whole(const Planes& p, int64_t c, int64_t i, uint8_t* y, int64_t pixel_stride) {
  __m128i rows[kBlock];
  for (int64_t r = 0; r < kBlock; ++r) {
    const uint8_t* from = p.x + (c + r) * p.plane_stride + i;
    rows[r] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  transpose_block(rows);
  for (int64_t r = 0; r < kBlock; ++r) {
    uint8_t* to = y + (i + r) * pixel_stride + c;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), rows[r]);
  }
}

// The same for the last planes and pixels, fewer than 16 of either.
void transpose_rest(const Planes& p, int64_t c, int64_t i, uint8_t* y, int64_t pixel_stride) {
  const int64_t planes = smaller(p.planes - c, kBlock), pixels = smaller(p.n - i, kBlock);
  __m128i rows[kBlock];
  for (int64_t r = 0; r < kBlock; ++r) {
    rows[r] = _mm_setzero_si128();
    if (r < planes) memcpy(&rows[r], p.x + (c + r) * p.plane_stride + i, pixels);
  }
  transpose_block(rows);
  for (int64_t r = 0; r < pixels; ++r) {
    memcpy(y + (i + r) * pixel_stride + c, &rows[r], planes);
  }
}

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

void transpose_avx2(const Planes& p, uint8_t* y, int64_t pixel_stride) {
  for (int64_t i = 0; i < p.n; i += kBlock) {
    for (int64_t c = 0; c < p.planes; c += kBlock) {
      const bool whole = i + kBlock <= p.n && c + kBlock <= p.planes;
      (whole ? transpose_whole : transpose_rest)(p, c, i, y, pixel_stride);
    }
  }
}

}  // namespace qnative::interleave
