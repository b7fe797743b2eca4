#pragma once

#include <string.h>

#include "blocks.h"
#include "gemm_fp16.h"
#include "simd/activation.h"
#include "simd/unroll.h"

// The tiles, over the vectors R of simd/real_*.h.
namespace qnative::gemm_fp16 {
namespace {

// A tile: kRows rows and R::kLanes * kVectors columns; the first `columns` columns are stored.
using TileFn = void(const Args& args, int64_t m, int64_t n, int64_t columns);

// acc: [rows][vectors]. A function of its own: unrolled copies would be most of the code.
template <class R>
[[gnu::noinline]] void store_tile(const Args& args, const typename R::F* acc, int64_t rows,
                                  int64_t vectors, int64_t m, int64_t n, int64_t columns) {
  constexpr int64_t kLanes = R::kLanes;
  const typename R::F lo = R::set(args.lo), hi = R::set(args.hi);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t row = (m + i) * args.y_stride + n;
    for (int64_t j = 0; j * kLanes < columns; ++j) {
      typename R::F r = R::add(acc[i * vectors + j], R::load(args.bias + n + j * kLanes));
      r = activate<R>(args.activation, r);
      // min and max return the second operand for NaN.
      r = R::min(hi, R::max(lo, r));
      const int64_t left = columns - j * kLanes < kLanes ? columns - j * kLanes : kLanes;
      if (args.half_output) {
        uint16_t* y = static_cast<uint16_t*>(args.y) + row + j * kLanes;
        uint16_t part[kLanes];
        R::store_half(left == kLanes ? y : part, r);
        if (left < kLanes) memcpy(y, part, left * sizeof(*y));
      } else {
        float* y = static_cast<float*>(args.y) + row + j * kLanes;
        float part[kLanes];
        R::store(left == kLanes ? y : part, r);
        if (left < kLanes) memcpy(y, part, left * sizeof(*y));
      }
    }
  }
}

template <class R, int kRows, int kVectors>
void tile(const Args& args, int64_t m, int64_t n, int64_t columns) {
  constexpr int kInPanel = kPanelColumns / R::kLanes;
  const int64_t panel = args.k * kPanelColumns;
  const uint16_t* w = args.weight + n / kPanelColumns * panel;
  const float* x = args.x + m * args.x_stride;
  const int64_t stride = args.x_stride;
  typename R::F acc[kRows][kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) { acc[i][j] = R::set(0.0f); });
  });
  for (int64_t k = 0; k < args.k; ++k) {
    typename R::F b[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      b[j] = R::load_half(w + j / kInPanel * panel + j % kInPanel * R::kLanes);
    });
    w += kPanelColumns;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const typename R::F a = R::set(x[i * stride + k]);
      unroll<kVectors>(
          [&](auto j) __attribute__((always_inline)) { acc[i][j] = R::fma(a, b[j], acc[i][j]); });
    });
  }
  typename R::F copy[kRows * kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { copy[i * kVectors + j] = acc[i][j]; });
  });
  store_tile<R>(args, copy, kRows, kVectors, m, n, columns);
}

// The tile of `rows` rows and kVectors vectors.
template <class R, int kVectors, int... kRows>
TileFn* select_tile(int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFn* kTiles[] = {tile<R, kRows + 1, kVectors>...};
  return kTiles[rows - 1];
}

// Rows [m_begin, m_end) and kVectors vectors of columns.
template <class R, int kMaxRows, int kVectors>
void sweep(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  constexpr std::make_integer_sequence<int, kMaxRows> kRowCounts;
  const Blocks blocks(m_end - m_begin, kMaxRows);
  int64_t m = m_begin;
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t rows = block < blocks.larger ? blocks.size + 1 : blocks.size;
    select_tile<R, kVectors>(rows, kRowCounts)(args, m, n, columns);
    m += rows;
  }
}

// Rows of x that stay in the L2 cache beside the weights of a tile.
inline int64_t block_rows(const Args& args) {
  constexpr int64_t kBlockElements = 96 * 1024;
  const int64_t fitting = kBlockElements / (args.k > 0 ? args.k : 1);
  return fitting > 48 ? fitting : 48;
}

template <class R>
void run_widen(const uint16_t* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + R::kLanes <= n; i += R::kLanes) R::store(y + i, R::load_half(x + i));
  if (i == n) return;
  uint16_t from[R::kLanes] = {};
  float to[R::kLanes];
  memcpy(from, x + i, (n - i) * sizeof(*x));
  R::store(to, R::load_half(from));
  memcpy(y + i, to, (n - i) * sizeof(*y));
}

}  // namespace
}  // namespace qnative::gemm_fp16
