#include <immintrin.h>
#include <string.h>

#include "gemm.h"
#include "layout.h"
#include "simd/unroll.h"

// Exact with 16-bit products: vpmaddubsw would be no faster (both are bound by two multiplications
// per 32 products) and it saturates.
//
// The 32 bytes of eight columns are read as 16 lanes of int16. Shifted, they are the weights of k =
// (0, 2) of each column, and of (1, 3). With x in the same order vpmaddwd gives sums of whole
// columns, and nothing is left to add across lanes.
namespace qnative::gemm {
namespace {

using TileFn = void(const Args& args, const int16_t* x, int64_t m, int64_t n, int64_t columns);

// Rows [m, m + rows) of x as int16, each group of four in the order 0, 2, 1, 3.
void widen_rows(const Args& args, int64_t m, int64_t rows, int16_t* wide) {
  const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  const __m256i order2 = _mm256_broadcastsi128_si256(order);
  const int64_t size = round_up(args.segment_size, kGroup);
  const int64_t stride = wide_row_stride(args);
  for (int64_t i = 0; i < rows; ++i) {
    int16_t* to = wide + i * stride;
    for (int64_t s = 0; s < args.segments; ++s) {
      const uint8_t* x = x_row(args, m + i) + args.segment_offset[s];
      int64_t k = 0;
      for (; k + 16 <= size; k += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + k));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k),
                            _mm256_shuffle_epi8(_mm256_cvtepu8_epi16(bytes), order2));
      }
      if (k + 8 <= size) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + k));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k),
                         _mm_shuffle_epi8(_mm_cvtepu8_epi16(bytes), order));
        k += 8;
      }
      if (k + 4 <= size) {
        const __m128i bytes = _mm_loadu_si32(x + k);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to + k),
                         _mm_shuffle_epi8(_mm_cvtepu8_epi16(bytes), order));
      }
      to += size;
    }
  }
}

// As assembly, because g++ 12 spills an array of accumulators that intrinsics update.
[[gnu::always_inline]] inline void multiply_add(__m256i& acc, __m256i x, __m256i w) {
  __m256i products;
  asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(x), "x"(w));
  asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
}

[[gnu::always_inline]] inline __m256i load_bytes(const int8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

struct Columns {
  __m256 multiplier[2];
  __m256 bias[2];
};

[[gnu::always_inline]] inline __m256 to_real(__m256i acc, const Columns& c, int j) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), c.multiplier[j], c.bias[j]);
}

// 16 columns of one row. Saturation does the lower clamp: what is below -32768 (and INT_MIN, which
// cvtps gives below int32) ends as 0 after the zero point is added.
[[gnu::always_inline]] inline void store_requantized(const Requantize& q, const __m256i (&acc)[2],
                                                     const Columns& c, uint8_t* y,
                                                     int64_t columns) {
  const __m256 hi = _mm256_set1_ps(static_cast<float>(q.hi - q.zero_point));
  __m256i v[2];
  for (int j = 0; j < 2; ++j) {
    v[j] = _mm256_cvtps_epi32(_mm256_min_ps(to_real(acc[j], c, j), hi));
  }
  const __m256i words =
      _mm256_adds_epi16(_mm256_permute4x64_epi64(_mm256_packs_epi32(v[0], v[1]), 0xd8),
                        _mm256_set1_epi16(static_cast<int16_t>(q.zero_point)));
  __m128i bytes =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  bytes = _mm_max_epu8(bytes, _mm_set1_epi8(static_cast<int8_t>(q.lo)));
  bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<int8_t>(q.flip)));
  if (columns >= 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
  } else {
    memcpy(y, &bytes, columns);
  }
}

[[gnu::always_inline]] inline void store_float(const Args& args, const __m256i (&acc)[2],
                                               const Columns& c, float* y, int64_t columns) {
  __m256 r[2];
  for (int j = 0; j < 2; ++j) {
    // The second operand is what min and max give for NaN.
    r[j] = _mm256_min_ps(_mm256_set1_ps(args.float_hi),
                         _mm256_max_ps(_mm256_set1_ps(args.float_lo), to_real(acc[j], c, j)));
  }
  if (columns >= 16) {
    _mm256_storeu_ps(y, r[0]);
    _mm256_storeu_ps(y + 8, r[1]);
  } else {
    memcpy(y, r, columns * sizeof(float));
  }
}

template <int kRows>
void tile(const Args& args, const int16_t* x, int64_t m, int64_t n, int64_t columns) {
  const int64_t size = row_size(args);
  const int64_t stride = wide_row_stride(args);
  const int8_t* w = args.weight + n / kPanelColumns * panel_size(args.segments, args.segment_size);
  __m256i acc[kRows][2];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    for (int j = 0; j < 2; ++j) {
      acc[i][j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.start + n + 8 * j));
    }
  });
  const auto step = [&](__m256i w0, __m256i w1, const int16_t* pair)
                        __attribute__((always_inline)) {
                          unroll<kRows>([&](auto i) __attribute__((always_inline)) {
                            int32_t bits;
                            memcpy(&bits, pair + stride * i, sizeof(bits));
                            const __m256i broadcast = _mm256_set1_epi32(bits);
                            multiply_add(acc[i][0], broadcast, w0);
                            multiply_add(acc[i][1], broadcast, w1);
                          });
                        };
  for (int64_t k = 0; k < size; k += kGroup) {
    step(_mm256_srai_epi16(_mm256_slli_epi16(load_bytes(w), 8), 8),
         _mm256_srai_epi16(_mm256_slli_epi16(load_bytes(w + 32), 8), 8), x + k);
    // Loaded again: there is no register left to keep the bytes in.
    asm("" ::: "memory");
    step(_mm256_srai_epi16(load_bytes(w), 8), _mm256_srai_epi16(load_bytes(w + 32), 8), x + k + 2);
    w += kStepBytes;
  }
  const Columns c = {
      {_mm256_loadu_ps(args.multiplier + n), _mm256_loadu_ps(args.multiplier + n + 8)},
      {_mm256_loadu_ps(args.bias + n), _mm256_loadu_ps(args.bias + n + 8)}};
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    const int64_t at = (m + i) * args.y_stride + n;
    if (args.float_output) {
      store_float(args, acc[i], c, static_cast<float*>(args.y) + at, columns);
    } else {
      store_requantized(args.requantize, acc[i], c, static_cast<uint8_t*>(args.y) + at, columns);
    }
  });
}

constexpr TileFn* kTiles[] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
constexpr int64_t kMaxRows = 6;

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
          std::byte* scratch) {
  int16_t* const wide = reinterpret_cast<int16_t*>(scratch);
  const int64_t stride = wide_row_stride(args);
  const int64_t block_rows = wide_block_rows(args);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block_rows) {
    const int64_t rows = m_end - m < block_rows ? m_end - m : block_rows;
    widen_rows(args, m, rows, wide);
    const Blocks blocks(rows, kMaxRows);
    for (int64_t n = n_begin; n < n_end; n += kPanelColumns) {
      const int64_t columns = n_end - n < kPanelColumns ? n_end - n : kPanelColumns;
      int64_t i = 0;
      for (int64_t block = 0; block < blocks.count; ++block) {
        const int64_t height = block < blocks.larger ? blocks.size + 1 : blocks.size;
        kTiles[height - 1](args, wide + i * stride, m + i, n, columns);
        i += height;
      }
    }
  }
}

}  // namespace qnative::gemm
