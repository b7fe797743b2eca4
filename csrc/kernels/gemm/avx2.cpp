#include <immintrin.h>
#include <string.h>

#include "epilogue_avx2.h"
#include "gemm.h"
#include "layout.h"
#include "operands_avx2.h"
#include "simd/unroll.h"

// What:     uint8 x int8 products without an exact instruction for bytes, in tiles of up to 6 rows
//           x 16 columns.
// Limits:   on Zen 4 vpmaddwd reaches 40 % of the rate of vpdpbusd, vpmaddubsw 50 %.
// Strategy: vpmaddubsw multiplies bytes, but saturates if a pair of weights is large. It gets the
//           groups of four k that cannot saturate in any of the 16 columns; the others are widened
//           to int16 for vpmaddwd. One or two rows are too few to examine or widen the weights for:
//           their x is split into nibbles, whose products with any weights are so small that eight
//           of them fit in int16.
// Source:   blocks of registers and caches as in Goto and van de Geijn, Anatomy of High-Performance
//           Matrix Multiplication (2008).
//
// Widening: the 32 bytes of eight columns are 16 lanes of int16. Shifting them gives the weights of
// k = (0, 2) of each column, or of (1, 3). With x in the same order vpmaddwd sums whole columns and
// nothing is left to add across lanes.
namespace qnative::gemm {
namespace {

// As assembly, because g++ 12 spills an array of accumulators that intrinsics update.
[[gnu::always_inline]] inline void multiply_add(__m256i& acc, __m256i x, __m256i w) {
  __m256i products;
  asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(x), "x"(w));
  asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
}

// The same, with the products in the register of x, which is not read again.
[[gnu::always_inline]] inline void multiply_add_last(__m256i& acc, __m256i x, __m256i w) {
  asm("vpmaddwd %1, %0, %0" : "+x"(x) : "x"(w));
  asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(x));
}

[[gnu::always_inline]] inline __m256i broadcast(const void* four_bytes) {
  __m256i v;
  asm("vpbroadcastd %1, %0" : "=x"(v) : "m"(*static_cast<const char (*)[4]>(four_bytes)));
  return v;
}

// Multiplies vectors [kFirst, kFirst + kCount) of the columns. No register is left for the weights
// of a second one: they are a memory operand.
template <int kFirst, int kCount, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_bytes(const uint8_t* const (&x)[kRows], const int8_t* panel,
                                             const Step* steps, int64_t count,
                                             __m256i (&acc)[kRows][kVectors]) {
  __m256i one = _mm256_set1_epi16(1);
  asm("" : "+x"(one));
  for (const Step* const end = steps + count; steps < end; ++steps) {
    const int64_t at = steps->x;
    const int8_t* w = panel + steps->w + 32 * kFirst;
    __m256i w0 = load_bytes(w);
    asm("" : "+x"(w0));
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      __m256i pairs = broadcast(x[i] + at), products;
      // clang does not capture variables that only an asm names.
      const __m256i first = w0;
      const auto* const second = reinterpret_cast<const __m256i_u*>(w + 32);
      if constexpr (kCount == 2) {
        asm("vpmaddubsw %2, %1, %0" : "=x"(products) : "x"(pairs), "x"(first));
        multiply_add_last(acc[i][kFirst], products, one);
        asm("vpmaddubsw %1, %0, %0" : "+x"(pairs) : "m"(*second));
      } else {
        asm("vpmaddubsw %1, %0, %0" : "+x"(pairs) : "x"(first));
      }
      multiply_add_last(acc[i][kFirst + kCount - 1], pairs, one);
    });
  }
}

// x: rows from widen_rows(). w: weights from widen_words().
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void add_words(const Args& args, const int16_t* x, const int8_t* w,
                                             const Groups& groups,
                                             __m256i (&acc)[kRows][kVectors]) {
  const int64_t stride = wide_row_stride(args);
  for (int64_t g = 0; g < groups.word_count; ++g, w += 2 * kStepBytes) {
    for (int64_t half = 0; half < 2; ++half) {
      const int16_t* pair = x + groups.words[g].x + 2 * half;
      const __m256i w0 = load_bytes(w + kStepBytes * half);
      const __m256i w1 = load_bytes(w + kStepBytes * half + 32);
      unroll<kRows>([&](auto i) __attribute__((always_inline)) {
        const __m256i pairs = broadcast(pair + stride * i);
        if constexpr (kVectors == 2) multiply_add(acc[i][0], pairs, w0);
        multiply_add(acc[i][kVectors - 1], pairs, kVectors == 2 ? w1 : w0);
      });
    }
  }
}

// The part of a panel's work that all its tiles share.
struct Panel {
  Groups groups;
  const int8_t* weight;
  int8_t* wide;  // from widen_words()
};

using TileFn = void(const Args& args, const Panel& panel, const int16_t* x, int64_t m, int64_t n,
                    int64_t columns);

template <int kRows, int kVectors>
void tile(const Args& args, const Panel& panel, const int16_t* x, int64_t m, int64_t n,
          int64_t columns) {
  __m256i acc[kRows][kVectors];
  begin_sums(args, m, n, acc);
  const Groups& groups = panel.groups;
  const uint8_t* rows[kRows];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { rows[i] = x_row(args, m + i); });
  add_bytes<0, kVectors>(rows, panel.weight, groups.bytes, groups.byte_count, acc);
  add_bytes<0, 1>(rows, panel.weight, groups.half[0], groups.half_count[0], acc);
  if constexpr (kVectors == 2) {
    add_bytes<1, 1>(rows, panel.weight, groups.half[1], groups.half_count[1], acc);
  }
  add_words(args, x, panel.wide, groups, acc);
  store_sums(args, m, n, columns, acc);
}

// For too few rows to widen the weights beforehand: widens each group when it is multiplied.
template <int kRows>
void thin_tile(const Args& args, const Panel& panel, const int16_t* x, int64_t m, int64_t n,
               int64_t columns) {
  const int64_t size = row_size(args), stride = wide_row_stride(args);
  const int8_t* w = panel.weight;
  __m256i acc[kRows][2];
  begin_sums(args, m, n, acc);
  const auto step = [&](__m256i w0, __m256i w1, const int16_t* pair)
                        __attribute__((always_inline)) {
                          unroll<kRows>([&](auto i) __attribute__((always_inline)) {
                            const __m256i pairs = broadcast(pair + stride * i);
                            multiply_add(acc[i][0], pairs, w0);
                            multiply_add(acc[i][1], pairs, w1);
                          });
                        };
  for (int64_t k = 0; k < size; k += kGroup, w += kStepBytes) {
    step(even_k(load_bytes(w)), even_k(load_bytes(w + 32)), x + k);
    // Makes g++ load the bytes again: no register is left to keep them in.
    asm("" ::: "memory");
    step(odd_k(load_bytes(w)), odd_k(load_bytes(w + 32)), x + k + 2);
  }
  store_sums(args, m, n, columns, acc);
}

constexpr TileFn* kThinTiles[] = {thin_tile<1>, thin_tile<2>, thin_tile<3>,
                                  thin_tile<4>, thin_tile<5>, thin_tile<6>};
constexpr TileFn* kTiles[][2] = {{tile<1, 1>, tile<1, 2>}, {tile<2, 1>, tile<2, 2>},
                                 {tile<3, 1>, tile<3, 2>}, {tile<4, 1>, tile<4, 2>},
                                 {tile<5, 1>, tile<5, 2>}, {tile<6, 1>, tile<6, 2>}};

alignas(32) constexpr int16_t kOne[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
alignas(32) constexpr int16_t kSixteen[16] = {16, 16, 16, 16, 16, 16, 16, 16,
                                              16, 16, 16, 16, 16, 16, 16, 16};

// acc += sums * factor, by pairs. Every register is taken: the factor is a memory operand.
[[gnu::always_inline]] inline void add_pairs(__m256i& acc, __m256i sums,
                                             const int16_t (&factor)[16]) {
  asm("vpmaddwd %1, %0, %0" : "+x"(sums) : "m"(factor));
  asm("vpaddd %1, %0, %0" : "+x"(acc) : "x"(sums));
}

// Row m, columns [n, n + 16 * kPanels). A pair of products is at most 15 * 256 in magnitude, so the
// sum of eight pairs fits in int16.
template <int kPanels>
void one_row(const Args& args, const int16_t* nibbles, int64_t m, int64_t n, int64_t columns) {
  constexpr int64_t kRun = 8 * kGroup;
  constexpr int kVectors = 2 * kPanels;
  const int64_t panel = panel_stride(args);
  const int64_t size = row_size(args);
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  __m256i acc[kPanels][1][2];
  unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    begin_sums(args, m, n + kPanelColumns * p, acc[p]);
  });
  for (int64_t k = 0; k < size; k += kRun) {
    __m256i low_sum[kVectors], high_sum[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      low_sum[j] = high_sum[j] = _mm256_setzero_si256();
    });
    const int64_t end = k + kRun < size ? k + kRun : size;
    for (int64_t at = k; at < end; at += kGroup, w += kStepBytes) {
      const __m256i low = broadcast(nibbles + at), high = broadcast(nibbles + at + 2);
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        __m256i v = load_bytes(w + j / 2 * panel + j % 2 * 32), products;
        const __m256i x_low = low, x_high = high;
        __m256i &low_to = low_sum[j], &high_to = high_sum[j];
        asm("" : "+x"(v));
        asm("vpmaddubsw %2, %1, %0" : "=x"(products) : "x"(x_low), "x"(v));
        asm("vpaddw %1, %0, %0" : "+x"(low_to) : "x"(products));
        asm("vpmaddubsw %0, %1, %0" : "+x"(v) : "x"(x_high));
        asm("vpaddw %1, %0, %0" : "+x"(high_to) : "x"(v));
      });
    }
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      add_pairs(acc[j / 2][0][j % 2], low_sum[j], kOne);
      add_pairs(acc[j / 2][0][j % 2], high_sum[j], kSixteen);
    });
  }
  unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    store_sums(args, m, n + kPanelColumns * p, columns - kPanelColumns * p, acc[p]);
  });
}

void run_few_rows(const Args& args, int64_t m, int64_t rows, int64_t n_begin, int64_t n_end,
                  int16_t* nibbles) {
  split_rows(args, m, rows, nibbles);
  for (int64_t n = n_begin; n < n_end; n += 2 * kPanelColumns) {
    const auto& run = n_end - n > kPanelColumns ? one_row<2> : one_row<1>;
    for (int64_t i = 0; i < rows; ++i) {
      run(args, nibbles + i * wide_row_stride(args), m + i, n, n_end - n);
    }
  }
}

void run_block(const Args& args, int64_t m, int64_t rows, int64_t n_begin, int64_t n_end,
               std::byte* scratch) {
  const int64_t stride = wide_row_stride(args);
  const int64_t panel_bytes = panel_stride(args);
  const int64_t count = row_size(args) / kGroup;
  int16_t* const x = reinterpret_cast<int16_t*>(scratch);
  Step* const steps = reinterpret_cast<Step*>(x + rows * stride);
  Panel panel = {.groups = {.bytes = steps,
                            .half = {steps + count, steps + 2 * count},
                            .words = steps + 3 * count},
                 .weight = args.weight,
                 .wide = reinterpret_cast<int8_t*>(steps + kStepLists * count)};
  const Blocks tiles(rows, kWideTileRows);
  bool is_widened = false;
  for (int64_t n = n_begin; n < n_end; n += kPanelColumns) {
    const int64_t columns = n_end - n < kPanelColumns ? n_end - n : kPanelColumns;
    panel.weight = args.weight + n / kPanelColumns * panel_bytes;
    sort_groups(args, panel.weight, rows, panel.groups);
    if (panel.groups.word_count > 0 && !is_widened) {
      widen_rows(args, m, rows, x);
      is_widened = true;
    }
    const bool is_thin = rows < kSortRows && panel.groups.mix == Mix::kWords;
    if (!is_thin) widen_words(panel.weight, panel.groups, panel.wide);
    int64_t i = 0;
    for (int64_t t = 0; t < tiles.count; ++t) {
      const int64_t height = t < tiles.larger ? tiles.size + 1 : tiles.size;
      const auto& run = is_thin ? kThinTiles[height - 1] : kTiles[height - 1][columns > 8];
      run(args, panel, x + i * stride, m + i, n, columns);
      i += height;
    }
  }
}

}  // namespace

Fn avx2;
void avx2(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
          std::byte* scratch) {
  n_end = n_end < args.n ? n_end : args.n;
  int64_t m = m_begin;
  if (m_begin >= m_end) return;
  const Blocks blocks(m_end - m_begin, wide_block_rows(args));
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t rows = block < blocks.larger ? blocks.size + 1 : blocks.size;
    if (rows <= kFewRows) {
      run_few_rows(args, m, rows, n_begin, n_end, reinterpret_cast<int16_t*>(scratch));
    } else {
      run_block(args, m, rows, n_begin, n_end, scratch);
    }
    m += rows;
  }
}

}  // namespace qnative::gemm
