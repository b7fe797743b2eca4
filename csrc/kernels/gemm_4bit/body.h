#pragma once

#include <string.h>

#include <utility>

#include "gemm_4bit.h"
#include "simd/activation.h"
#include "simd/unroll.h"

// The tiles and the quantization of rows, over an instruction set D:
//
//   Real        vectors of floats of simd/real_*.h; Ints: as many int32
//   kRegisters  vectors that the machine has
//   set(v)      v in every lane
//   load(p)     the bytes of R::kLanes columns, half a group of 8 k in the low nibbles
//   low, high   the nibbles of each byte
//   broadcast   four bytes of x in every lane
//   dot(acc, low, high, a, b)   acc += low * a + high * b, exact sums of four products per lane
//   to_floats, load_scales (bfloat16), round (float to int32, half to even)
//   magnitude(x)                bits of |x|; larger(a, b): the maximum of int32
//   fold_max, fold_sum          over all lanes
//   store_bytes(p, v)           v, each in [-128, 127]
namespace qnative::gemm_4bit {
namespace {

// acc: [rows][vectors]. A function of its own: unrolled copies would be most of the code.
template <class R>
[[gnu::noinline]] void store_tile(const Args& args, const typename R::F* acc, int64_t rows,
                                  int64_t vectors, int64_t m, int64_t n, int64_t columns) {
  constexpr int64_t kLanes = R::kLanes;
  const typename R::F lo = R::set(args.lo), hi = R::set(args.hi);
  for (int64_t i = 0; i < rows; ++i) {
    float* y = args.y + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j * kLanes < columns; ++j) {
      typename R::F r = activate<R>(args.activation, acc[i * vectors + j]);
      // min and max return the second operand for NaN.
      r = R::min(hi, R::max(lo, r));
      const int64_t left = columns - j * kLanes;
      float part[kLanes];
      R::store(left >= kLanes ? y + j * kLanes : part, r);
      if (left < kLanes) memcpy(y + j * kLanes, part, left * sizeof(*y));
    }
  }
}

// Few rows are bound by reading the weights: they fetch so many bytes ahead of each panel, and near
// its end the panel of the next tile. The hardware stops at the end of a page.
constexpr int64_t kAhead = 2048;
constexpr int kFewRows = 2;

// kRows rows and kVectors vectors of columns; the first `columns` columns are stored.
template <class D, int kRows, int kVectors>
void tile(const Args& args, int64_t m, int64_t n, int64_t columns) {
  using R = typename D::Real;
  using Ints = typename D::Ints;
  constexpr int kInPanel = kPanelColumns / R::kLanes;
  constexpr int kPanels = (kVectors + kInPanel - 1) / kInPanel;
  // Sums, floats, nibbles, two groups of x and two constants. Where that is too much the floats,
  // one use in each group, stay in memory; the compiler would choose something of the inner loop.
  constexpr bool kFits = 2 * kVectors * (kRows + 1) + 4 <= D::kRegisters;
  const Layout& layout = args.layout;
  const int64_t panel = layout.panel_bytes(), groups = layout.groups();
  const int64_t row_bytes = layout.row_bytes();
  const uint8_t* scales = args.weight + n / kPanelColumns * panel;
  const uint8_t* w = scales + layout.scale_bytes();
  const uint8_t* const last_ahead = scales + panel - kAhead;
  const int8_t* x = args.x.q + m * row_bytes;
  typename R::F r[kRows][kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      r[i][j] = R::load(args.bias + n + j * R::kLanes);
    });
  });
  int64_t steps = layout.group_steps();
  for (int64_t g = 0; g < groups; ++g) {
    if (g + 1 == groups) steps = layout.last_steps();
    Ints acc[kRows][kVectors];
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const Ints start = D::set(args.x.start[(m + i) * groups + g]);
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) { acc[i][j] = start; });
    });
    [[maybe_unused]] const int64_t ahead = w < last_ahead ? kAhead : kAhead + (kPanels - 1) * panel;
    for (int64_t s = 0; s < steps; ++s) {
      if constexpr (kRows <= kFewRows) {
        unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
          __builtin_prefetch(w + p * panel + ahead);
        });
      }
      Ints low[kVectors], high[kVectors];
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        const Ints bytes = D::load(w + j / kInPanel * panel + j % kInPanel * 4 * R::kLanes);
        low[j] = D::low(bytes);
        high[j] = D::high(bytes);
      });
      unroll<kRows>([&](auto i) __attribute__((always_inline)) {
        const Ints a = D::broadcast(x + i * row_bytes), b = D::broadcast(x + i * row_bytes + 4);
        unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
          D::dot(acc[i][j], low[j], high[j], a, b);
        });
      });
      w += kStepBytes;
      x += kStepK;
    }
    typename R::F scale[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      scale[j] = D::load_scales(scales + j / kInPanel * panel + j % kInPanel * 2 * R::kLanes);
    });
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const typename R::F x_scale = R::set(args.x.scale[(m + i) * groups + g]);
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        r[i][j] = R::fma(D::to_floats(acc[i][j]), R::mul(x_scale, scale[j]), r[i][j]);
        if constexpr (!kFits) asm("" : "+m"(r[i][j]));
      });
    });
    scales += 2 * kPanelColumns;
  }
  typename R::F copy[kRows * kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { copy[i * kVectors + j] = r[i][j]; });
  });
  store_tile<R>(args, copy, kRows, kVectors, m, n, columns);
}

using TileFn = void(const Args& args, int64_t m, int64_t n, int64_t columns);

// The tile of `rows` rows and kVectors vectors.
template <class D, int kVectors, int... kRows>
TileFn* select_tile(int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFn* kTiles[] = {tile<D, kRows + 1, kVectors>...};
  return kTiles[rows - 1];
}

// Rows [m_begin, m_end) and kVectors vectors of columns.
template <class D, int kMaxRows, int kVectors>
void sweep(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  constexpr std::make_integer_sequence<int, kMaxRows> kRowCounts;
  const Blocks blocks(m_end - m_begin, kMaxRows);
  int64_t m = m_begin;
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t rows = block < blocks.larger ? blocks.size + 1 : blocks.size;
    select_tile<D, kVectors>(rows, kRowCounts)(args, m, n, columns);
    m += rows;
  }
}

// Rows of x that stay in the L2 cache beside the weights of a tile.
inline int64_t block_rows(const Layout& layout) {
  constexpr int64_t kBlockBytes = 384 * 1024, kMinRows = 48;
  const int64_t fitting = kBlockBytes / layout.row_bytes();
  return fitting > kMinRows ? fitting : kMinRows;
}

// The bits of magnitudes are in the order of their values, those of infinity and NaN last.
template <class D>
float peak_of(const float* x, int64_t n) {
  using R = typename D::Real;
  typename D::Ints peak = D::set(0);
  int64_t k = 0;
  for (; k + R::kLanes <= n; k += R::kLanes) {
    peak = D::larger(peak, D::magnitude(R::load(x + k)));
  }
  if (k < n) {
    float rest[R::kLanes] = {};
    memcpy(rest, x + k, (n - k) * sizeof(*x));
    peak = D::larger(peak, D::magnitude(R::load(rest)));
  }
  const int32_t bits = D::fold_max(peak);
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// q[0..n) from x[0..n); returns their sum.
template <class D>
int32_t quantize_values(const float* x, int64_t n, float inverse_scale, int8_t* q) {
  using R = typename D::Real;
  const typename R::F inverse = R::set(inverse_scale);
  typename D::Ints sum = D::set(0);
  int64_t k = 0;
  for (; k + R::kLanes <= n; k += R::kLanes) {
    const typename D::Ints v = D::round(R::mul(R::load(x + k), inverse));
    D::store_bytes(q + k, v);
    sum = D::add(sum, v);
  }
  if (k < n) {
    float rest[R::kLanes] = {};
    int8_t bytes[R::kLanes];
    memcpy(rest, x + k, (n - k) * sizeof(*x));
    const typename D::Ints v = D::round(R::mul(R::load(rest), inverse));
    D::store_bytes(bytes, v);
    memcpy(q + k, bytes, n - k);
    sum = D::add(sum, v);
  }
  return D::fold_sum(sum);
}

template <class D>
void run_quantize(const float* x, const Layout& layout, const Rows& rows, int64_t i) {
  const int64_t groups = layout.groups(), group_bytes = layout.group_steps() * kStepK;
  int8_t* q = rows.q + i * layout.row_bytes();
  for (int64_t g = 0; g < groups; ++g) {
    const bool is_last = g + 1 == groups;
    const int64_t size = is_last ? layout.last_group() : layout.group;
    const int64_t bytes = is_last ? layout.last_steps() * kStepK : group_bytes;
    const float peak = peak_of<D>(x, size);
    const bool finite = peak <= __FLT_MAX__;
    const float real = peak / 127;
    const float scale = real > __FLT_MIN__ ? real : __FLT_MIN__;
    int32_t sum = 0;
    if (finite) sum = quantize_values<D>(x, size, 1 / scale, q);
    const int64_t written = finite ? size : 0;
    memset(q + written, 0, bytes - written);
    rows.start[i * groups + g] = -8 * sum;
    rows.scale[i * groups + g] = finite ? scale : __builtin_nanf("");
    x += size;
    q += bytes;
  }
}

}  // namespace
}  // namespace qnative::gemm_4bit
