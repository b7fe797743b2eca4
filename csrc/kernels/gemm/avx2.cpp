#include <immintrin.h>
#include <string.h>

#include <type_traits>

#include "gemm.h"
#include "layout.h"
#include "simd/activation.h"
#include "simd/real_avx2.h"
#include "simd/unroll.h"

// Exact with 16-bit products: vpmaddubsw would be no faster (both are bound by two multiplications
// per 32 products) and it saturates.
//
// The 32 bytes of eight columns are read as 16 lanes of int16. Shifted, they are the weights of k =
// (0, 2) of each column, and of (1, 3). With x in the same order vpmaddwd gives sums of whole
// columns, and nothing is left to add across lanes.
namespace qnative::gemm {
namespace {

// x: widened rows. w: the panel of the columns, or the widened panel.
using TileFn = void(const Args& args, const int16_t* x, const int8_t* w, int64_t m, int64_t n,
                    int64_t columns);

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

[[gnu::always_inline]] inline __m256i load_bytes(const int8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// The weights of k = (0, 2) and of k = (1, 3) of eight columns.
[[gnu::always_inline]] inline __m256i even_k(__m256i w) {
  return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
}
[[gnu::always_inline]] inline __m256i odd_k(__m256i w) { return _mm256_srai_epi16(w, 8); }

// Does once what every tile does otherwise: pays from kWidenPanelRows rows on.
void widen_panel(const int8_t* w, int64_t size, int8_t* wide) {
  for (int64_t at = 0; at < size; at += kStepBytes) {
    const __m256i low = load_bytes(w + at), high = load_bytes(w + at + 32);
    __m256i* to = reinterpret_cast<__m256i*>(wide + 2 * at);
    _mm256_storeu_si256(to, even_k(low));
    _mm256_storeu_si256(to + 1, even_k(high));
    _mm256_storeu_si256(to + 2, odd_k(low));
    _mm256_storeu_si256(to + 3, odd_k(high));
  }
}

// As assembly, because g++ 12 spills an array of accumulators that intrinsics update.
[[gnu::always_inline]] inline void multiply_add(__m256i& acc, __m256i x, __m256i w) {
  __m256i products;
  asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(x), "x"(w));
  asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
}

// Fewer than 16 bytes. A call of memcpy for each row would show in layers of few columns.
[[gnu::always_inline]] inline void store_part(__m128i bytes, uint8_t* y, int64_t count) {
  uint8_t from[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(from), bytes);
  int64_t at = 0;
  const auto store = [&](auto size) __attribute__((always_inline)) {
    if ((count & size) == 0) return;
    memcpy(y + at, from + at, size);
    at += size;
  };
  store(std::integral_constant<int, 8>{});
  store(std::integral_constant<int, 4>{});
  store(std::integral_constant<int, 2>{});
  store(std::integral_constant<int, 1>{});
}

// What turns sums of 16 columns into bytes, in vectors. y may alias anything as far as the compiler
// knows: read from Args, all of it would be read and broadcast again after every row.
struct Bytes {
  Bytes(const Args& args, int64_t n)
      : multiplier{_mm256_loadu_ps(args.multiplier + n), _mm256_loadu_ps(args.multiplier + n + 8)},
        bias{_mm256_loadu_ps(args.bias + n), _mm256_loadu_ps(args.bias + n + 8)},
        hi(_mm256_set1_ps(static_cast<float>(args.requantize.hi - args.requantize.zero_point))),
        zero_point(_mm256_set1_epi16(static_cast<int16_t>(args.requantize.zero_point))),
        lo(_mm_set1_epi8(static_cast<int8_t>(args.requantize.lo))),
        flip(_mm_set1_epi8(static_cast<int8_t>(args.requantize.flip))) {}

  [[gnu::always_inline]] __m256 to_real(__m256i acc, int j) const {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), multiplier[j], bias[j]);
  }

  // Saturation does the lower clamp: what is below -32768 (and INT_MIN, which cvtps gives below
  // int32) ends as 0 after the zero point is added.
  [[gnu::always_inline]] void store(const __m256i (&acc)[2], uint8_t* y, int64_t columns) const {
    const __m256i v0 = _mm256_cvtps_epi32(_mm256_min_ps(to_real(acc[0], 0), hi));
    const __m256i v1 = _mm256_cvtps_epi32(_mm256_min_ps(to_real(acc[1], 1), hi));
    const __m256i words = _mm256_adds_epi16(_mm256_packs_epi32(v0, v1), zero_point);
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    // The packs leave columns 0-3, 8-11, 4-7, 12-15.
    bytes = _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0));
    bytes = _mm_xor_si128(_mm_max_epu8(bytes, lo), flip);
    if (columns >= 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
    } else {
      store_part(bytes, y, columns);
    }
  }

  __m256 multiplier[2];
  __m256 bias[2];
  __m256 hi;
  __m256i zero_point;
  __m128i lo, flip;
};

// The weight goes to the upper half of its lane, the excess stands in that half alone.
void add_outliers(const Args& args, __m256i* acc, int64_t rows, int64_t m, int64_t n) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t o = 0; o < args.outlier_count[m + i]; ++o) {
      const Outlier outlier = outliers_of(args, m + i)[o];
      const int8_t* const w = lanes_of(args, n, outlier.k);
      const __m256i excess = _mm256_set1_epi32(static_cast<int>(upper_half(outlier.excess)));
      const __m128i shift = _mm_cvtsi32_si128(shift_to_top(outlier.k));
      for (int j = 0; j < 2; ++j) {
        const __m256i top = _mm256_sll_epi32(load_bytes(w + 32 * j), shift);
        __m256i& sum = acc[i * 2 + j];
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_srai_epi16(top, 8), excess));
      }
    }
  }
}

// acc: [rows][2]. Apart from the tiles, because the memory traffic of float output hides the detour
// through the stack, and twelve unrolled copies would be most of the code.
[[gnu::noinline]] void store_float(const Args& args, __m256i* acc, int64_t rows, int64_t m,
                                   int64_t n, int64_t columns) {
  if (has_outliers(args, m, rows)) add_outliers(args, acc, rows, m, n);
  const __m256 lo = _mm256_set1_ps(args.float_lo);
  const __m256 hi = _mm256_set1_ps(args.float_hi);
  for (int64_t i = 0; i < rows; ++i) {
    float* y = static_cast<float*>(args.y) + (m + i) * args.y_stride + n;
    __m256 r[2];
    for (int j = 0; j < 2; ++j) {
      __m256 multiplier = _mm256_loadu_ps(args.multiplier + n + 8 * j);
      if (args.row_multiplier != nullptr) {
        multiplier = _mm256_mul_ps(multiplier, _mm256_set1_ps(args.row_multiplier[m + i]));
      }
      r[j] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[i * 2 + j]), multiplier,
                             _mm256_loadu_ps(args.bias + n + 8 * j));
      r[j] = activate<RealAvx2>(args.activation, r[j]);
      // The second operand is what min and max give for NaN.
      r[j] = _mm256_min_ps(hi, _mm256_max_ps(lo, r[j]));
    }
    if (columns >= 16) {
      _mm256_storeu_ps(y, r[0]);
      _mm256_storeu_ps(y + 8, r[1]);
    } else {
      memcpy(y, r, columns * sizeof(float));
    }
  }
}

template <int kRows, bool kWidePanel>
void tile(const Args& args, const int16_t* x, const int8_t* w, int64_t m, int64_t n,
          int64_t columns) {
  const int64_t size = row_size(args);
  const int64_t stride = wide_row_stride(args);
  __m256i acc[kRows][2];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    for (int j = 0; j < 2; ++j) {
      acc[i][j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(args.start + n + 8 * j));
    }
  });
  if (args.row_factor != nullptr) {
    const auto* factors = reinterpret_cast<const __m256i*>(args.column_factor + n);
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const __m256i factor = _mm256_set1_epi32(args.row_factor[m + i]);
      for (int j = 0; j < 2; ++j) {
        const __m256i product = _mm256_mullo_epi32(factor, _mm256_loadu_si256(factors + j));
        acc[i][j] = _mm256_add_epi32(acc[i][j], product);
      }
    });
  }
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
    if constexpr (kWidePanel) {
      step(load_bytes(w), load_bytes(w + 32), x + k);
      step(load_bytes(w + 64), load_bytes(w + 96), x + k + 2);
      w += 2 * kStepBytes;
    } else {
      step(even_k(load_bytes(w)), even_k(load_bytes(w + 32)), x + k);
      // Loaded again: there is no register left to keep the bytes in.
      asm("" ::: "memory");
      step(odd_k(load_bytes(w)), odd_k(load_bytes(w + 32)), x + k + 2);
      w += kStepBytes;
    }
  }
  const int64_t y_stride = args.y_stride;
  if (args.float_output) {
    __m256i copy[kRows * 2];
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      for (int j = 0; j < 2; ++j) copy[i * 2 + j] = acc[i][j];
    });
    store_float(args, copy, kRows, m, n, columns);
  } else {
    const Bytes output(args, n);
    uint8_t* y = static_cast<uint8_t*>(args.y) + m * y_stride + n;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      output.store(acc[i], y + i * y_stride, columns);
    });
  }
}

constexpr TileFn* kTiles[][2] = {
    {tile<1, false>, tile<1, true>}, {tile<2, false>, tile<2, true>},
    {tile<3, false>, tile<3, true>}, {tile<4, false>, tile<4, true>},
    {tile<5, false>, tile<5, true>}, {tile<6, false>, tile<6, true>},
};

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
          std::byte* scratch) {
  const int64_t stride = wide_row_stride(args);
  const int64_t block_rows = wide_block_rows(args);
  const int64_t panel = panel_size(args.segments, args.segment_size);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block_rows) {
    const int64_t rows = m_end - m < block_rows ? m_end - m : block_rows;
    int16_t* const x = reinterpret_cast<int16_t*>(scratch);
    int8_t* const wide_panel = reinterpret_cast<int8_t*>(x + rows * stride);
    const bool widens_panel = rows >= kWidenPanelRows;
    const Blocks blocks(rows, kWideTileRows);
    widen_rows(args, m, rows, x);
    for (int64_t n = n_begin; n < n_end; n += kPanelColumns) {
      const int64_t columns = n_end - n < kPanelColumns ? n_end - n : kPanelColumns;
      const int8_t* w = args.weight + n / kPanelColumns * panel;
      if (widens_panel) {
        widen_panel(w, panel, wide_panel);
        w = wide_panel;
      }
      int64_t i = 0;
      for (int64_t block = 0; block < blocks.count; ++block) {
        const int64_t height = block < blocks.larger ? blocks.size + 1 : blocks.size;
        kTiles[height - 1][widens_panel](args, x + i * stride, w, m + i, n, columns);
        i += height;
      }
    }
  }
}

}  // namespace qnative::gemm
