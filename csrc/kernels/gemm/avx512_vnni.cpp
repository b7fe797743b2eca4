#include "gemm.h"
#include "layout.h"
#include "pairs_avx512.h"
#include "simd/intrinsics_avx512.h"
#include "simd/unroll.h"
#include "start_avx512.h"
#include "store_avx512.h"

// What:     uint8 x int8 products by vpdpbusd: four k of 16 columns per instruction.
// Limits:   32 registers. Zen 4 issues one vpdpbusd and one load of 64 bytes per cycle: a tile
//           needs several rows for each vector of weights that it loads.
// Strategy: the sums of a tile stay in registers over all of k; a tile is up to four panels wide
//           and as high as the registers allow. Blocks of rows stay in the L2 cache. An odd half of
//           a panel is multiplied as pairs of groups (pairs_avx512.h). One row is bound by reading
//           the weights once (row_tile).
// Source:   blocks as in avx2.cpp.
namespace qnative::gemm {
namespace {

constexpr int64_t kBlockBytes = 384 * 1024;  // of x: stays in the L2 cache beside 64 columns
constexpr int64_t kMinBlockRows = 48;
constexpr int kMaxPanels = 4;                                // of a tile
constexpr int kMaxRows[kMaxPanels + 1] = {0, 16, 12, 8, 6};  // of a tile, by its panels
constexpr int kMaxPairedRows[] = {0, 12, 0, 8};              // by halves of panels
// Below so many bytes of k the epilogue takes more of the time, and five rows do better than six.
constexpr int64_t kShortRow = 128;
constexpr int kMaxShortRows = 5;
// Below so many bytes of k pairs cost more than they save.
constexpr int64_t kMinPairedRow = 32;

// `count` tiles, one below the other from row m on, `before` others above them: kRows rows and 16 *
// kVectors columns each; the first `columns` columns are stored.
using TilesFn = void(const Args& args, int64_t m, int64_t count, int64_t before, int64_t n,
                     int64_t columns);

[[gnu::always_inline]] inline __m512i broadcast_group(const uint8_t* x) {
  int32_t group;
  memcpy(&group, x, sizeof(group));
  return _mm512_set1_epi32(group);
}
[[gnu::always_inline]] inline __m512i broadcast_groups(const uint8_t* x) {
  int64_t groups;
  memcpy(&groups, x, sizeof(groups));
  return _mm512_set1_epi64(groups);
}

// Prefetches the lines that a tile will write. A large y is in no cache, and stores that wait for
// memory delay the products of the next tile: 1.4 times faster at 6272 x 480 x 80.
template <int kRows>
[[gnu::always_inline]] inline void prefetch_output(const Args& args, int64_t m, int64_t n,
                                                   int64_t columns) {
  const int64_t size = y_bytes(args);
  if (args.y_stride * size < 64) return;
  const uint8_t* y = static_cast<const uint8_t*>(args.y) + (m * args.y_stride + n) * size;
  unroll<kRows>([&](auto) __attribute__((always_inline)) {
    __builtin_prefetch(y, 1);
    __builtin_prefetch(y + columns * size - 1, 1);
    y += args.y_stride * size;
  });
}

constexpr int kPointers = 8;  // general registers for addresses of rows

// ahead: with kFetches, distance from the weights of this tile to those that later tiles need.
template <int kRows, int kVectors, bool kFetches>
[[gnu::always_inline]] inline void tile(const Args& args, int64_t panel, int64_t ahead, int64_t m,
                                        int64_t n, int64_t columns) {
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  const uint8_t* row[kRows];
  __m512i acc[kRows][kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { row[i] = x_row(args, m + i); });
  load_start(args, acc, m, n);
  prefetch_output<kRows>(args, m, n, columns);
  for (int64_t s = 0; s < args.segments; ++s) {
    const int64_t end = args.segment_offset[s] + args.segment_size;
    for (int64_t k = args.segment_offset[s]; k < end; k += kGroup) {
      // Address rows as row[i] + k. g++ would keep distances from the first row instead, and move
      // those that do not fit in general registers to vector registers, which are slow to read.
      asm("" : "+r"(k));
      __m512i b[kVectors];
      unroll<kVectors>(
          [&](auto j) __attribute__((always_inline)) { b[j] = _mm512_loadu_si512(w + panel * j); });
      if constexpr (kFetches) {
        __builtin_prefetch(w + ahead, 0, 2);
        __builtin_prefetch(w + ahead + panel, 0, 2);
      }
      w += kStepBytes;
      unroll<kRows>([&](auto i) __attribute__((always_inline)) {
        if constexpr (i >= kPointers) asm("" : "+m"(row[i]));
        const __m512i a = broadcast_group(row[i] + k);
        unroll<kVectors>([&](auto j)
                             __attribute__((always_inline)) { dpbusd(acc[i][j], a, b[j]); });
      });
    }
  }
  store(args, acc, m, n, columns);
}

template <int kRows, int kHalves>
[[gnu::always_inline]] inline void paired_tile(const Args& args, int64_t panel, int64_t m,
                                               int64_t n, int64_t columns) {
  constexpr int kVectors = (kHalves + 1) / 2;
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  const uint8_t* row[kRows];
  __m512i pairs[kRows][kHalves], acc[kRows][kVectors], none[kVectors];
  unroll<kVectors>([&](auto j)
                       __attribute__((always_inline)) { none[j] = _mm512_setzero_si512(); });
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { row[i] = x_row(args, m + i); });
  load_start(args, acc, m, n);
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { pair_up(acc[i], none, pairs[i]); });
  prefetch_output<kRows>(args, m, n, columns);
  const auto load_group = [&](__m512i(&b)[kVectors]) __attribute__((always_inline)) {
    unroll<kVectors>(
        [&](auto j) __attribute__((always_inline)) { b[j] = _mm512_loadu_si512(w + panel * j); });
    w += kStepBytes;
  };
  for (int64_t s = 0; s < args.segments; ++s) {
    const int64_t end = args.segment_offset[s] + args.segment_size;
    __m512i first[kVectors], second[kVectors], b[kHalves];
    int64_t k = args.segment_offset[s];
    for (; k + kGroup < end; k += 2 * kGroup) {
      asm("" : "+r"(k));
      load_group(first);
      load_group(second);
      pair_up(first, second, b);
      multiply_pairs(pairs, b, [&](auto i) __attribute__((always_inline)) {
        if constexpr (i >= kPointers) asm("" : "+m"(row[i]));
        return broadcast_groups(row[i] + k);
      });
    }
    if (k >= end) continue;
    load_group(first);
    pair_up(first, none, b);
    multiply_pairs(pairs, b, [&](auto i) __attribute__((always_inline)) {
      return broadcast_group(row[i] + k);
    });
  }
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { add_pairs(pairs[i], acc[i]); });
  store(args, acc, m, n, columns);
}

// One row is bound by reading the weights once: they are memory operands, and separate accumulators
// for kSteps steps of k hide the latency of vpdpbusd.
template <int kVectors>
[[gnu::always_inline]] inline void row_tile(const Args& args, int64_t panel, int64_t m, int64_t n,
                                            int64_t columns) {
  constexpr int kSteps = kVectors == 1 ? 8 : kVectors == 2 ? 4 : 2;
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  __m512i acc[kSteps][kVectors];
  __m512i sum[1][kVectors];
  load_start(args, sum, m, n);
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    acc[0][j] = sum[0][j];
    unroll<kSteps - 1>(
        [&](auto u) __attribute__((always_inline)) { acc[u + 1][j] = _mm512_setzero_si512(); });
  });
  for (int64_t s = 0; s < args.segments; ++s) {
    const uint8_t* x = x_row(args, m) + args.segment_offset[s];
    const int64_t groups = ceil_div(args.segment_size, kGroup);
    int64_t g = 0;
    for (; g + kSteps <= groups; g += kSteps) {
      unroll<kSteps>([&](auto u) __attribute__((always_inline)) {
        const __m512i a = broadcast_group(x + kGroup * (g + u));
        unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
          dpbusd_load(acc[u][j], a, w + panel * j + kStepBytes * u);
        });
      });
      w += kSteps * kStepBytes;
    }
    for (; g < groups; ++g) {
      const __m512i a = broadcast_group(x + kGroup * g);
      unroll<kVectors>(
          [&](auto j) __attribute__((always_inline)) { dpbusd_load(acc[0][j], a, w + panel * j); });
      w += kStepBytes;
    }
  }
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    sum[0][j] = acc[0][j];
    unroll<kSteps - 1>([&](auto u) __attribute__((always_inline)) {
      sum[0][j] = _mm512_add_epi32(sum[0][j], acc[u + 1][j]);
    });
  });
  store(args, sum, m, n, columns);
}

template <int kVectors>
void row_tiles(const Args& args, int64_t m, int64_t count, int64_t, int64_t n, int64_t columns) {
  const int64_t panel = panel_stride(args);
  for (int64_t end = m + count; m < end; ++m) row_tile<kVectors>(args, panel, m, n, columns);
}

// Tiles of kPanels panels. With kFetches the first tiles fetch the panels to the right into the L2
// cache, two each: in a large network the weights are in no cache, and few rows do not hide that.
template <int kPanels, bool kFetches = false>
struct Whole {
  static constexpr int kVectors = kPanels;

  template <int kRows>
  static void run(const Args& args, int64_t m, int64_t count, int64_t before, int64_t n,
                  int64_t columns) {
    const int64_t panel = panel_stride(args);
    for (int64_t i = before; i < before + count; ++i, m += kRows) {
      const bool has_share = 2 * i < kVectors && n + kPanelColumns * kVectors < args.n;
      const int64_t ahead = has_share ? (kVectors + 2 * i) * panel : 0;
      tile<kRows, kVectors, kFetches>(args, panel, ahead, m, n, columns);
    }
  }
};

// Tiles of kHalves halves of panels.
template <int kHalves>
struct Paired {
  static constexpr int kVectors = (kHalves + 1) / 2;

  template <int kRows>
  static void run(const Args& args, int64_t m, int64_t count, int64_t, int64_t n, int64_t columns) {
    const int64_t panel = panel_stride(args);
    for (int64_t end = m + count * kRows; m < end; m += kRows) {
      paired_tile<kRows, kHalves>(args, panel, m, n, columns);
    }
  }
};

// [rows - 1].
template <class Tiles, int... kRows>
TilesFn* select_tiles(int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TilesFn* kTiles[] = {row_tiles<Tiles::kVectors>,
                                        Tiles::template run<kRows + 2>...};
  return kTiles[rows - 1];
}

template <int kRows, class Tiles>
void sweep(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  constexpr std::make_integer_sequence<int, kRows - 1> kRowCounts;
  const Blocks blocks(m_end - m_begin, kRows);
  const int64_t middle = m_begin + blocks.larger * (blocks.size + 1);
  if (blocks.larger > 0) {
    select_tiles<Tiles>(blocks.size + 1, kRowCounts)(args, m_begin, blocks.larger, 0, n, columns);
  }
  select_tiles<Tiles>(blocks.size, kRowCounts)(args, middle, blocks.count - blocks.larger,
                                               blocks.larger, n, columns);
}

// At most kMaxPanels whole panels of `columns` columns.
void sweep_whole(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  switch (ceil_div(columns, kPanelColumns)) {
    case 0:
      return;
    case 1:
      return sweep<kMaxRows[1], Whole<1>>(args, m_begin, m_end, n, columns);
    case 2:
      return sweep<kMaxRows[2], Whole<2>>(args, m_begin, m_end, n, columns);
    case 3:
      return sweep<kMaxRows[3], Whole<3>>(args, m_begin, m_end, n, columns);
    default:
      if (row_size(args) <= kShortRow) {
        return sweep<kMaxShortRows, Whole<4>>(args, m_begin, m_end, n, columns);
      }
      return sweep<kMaxRows[4], Whole<4, true>>(args, m_begin, m_end, n, columns);
  }
}

// An odd number of halves of panels: one, or whole panels and then three halves.
void sweep_halves(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  if (columns <= 8) return sweep<kMaxPairedRows[1], Paired<1>>(args, m_begin, m_end, n, columns);
  const int64_t whole = (columns - 9) / 16 * 16;
  sweep_whole(args, m_begin, m_end, n, whole);
  sweep<kMaxPairedRows[3], Paired<3>>(args, m_begin, m_end, n + whole, columns - whole);
}

}  // namespace

Fn avx512_vnni;
void avx512_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
                 std::byte*) {
  constexpr int64_t kColumns = kMaxPanels * kPanelColumns;
  const int64_t k = row_size(args);
  const int64_t fitting = kBlockBytes / (k > 0 ? k : 1);
  const int64_t block_rows = fitting > kMinBlockRows ? fitting : kMinBlockRows;
  const bool pairs_pay = k >= kMinPairedRow;
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block_rows) {
    const int64_t m_next = m + block_rows < m_end ? m + block_rows : m_end;
    for (int64_t n = n_begin; n < n_end; n += kColumns) {
      const int64_t columns = n_end - n < kColumns ? n_end - n : kColumns;
      const bool is_odd = ceil_div(columns, 8) % 2 == 1;
      (is_odd && pairs_pay ? sweep_halves : sweep_whole)(args, m, m_next, n, columns);
    }
  }
}

}  // namespace qnative::gemm
