#include <immintrin.h>

#include "epilogue_avx2.h"
#include "gemm.h"
#include "layout.h"
#include "simd/dpbusd_avx2.h"
#include "simd/unroll.h"

// What:     uint8 x int8 products by vpdpbusd on registers of 256 bits: four k of eight columns per
//           instruction.
// Limits:   16 registers: twelve sums, two vectors of weights, one of x.
// Strategy: tiles of 1 to 6 rows and as many panels as give ten to twelve sums. Blocks of rows stay
//           in the L2 cache, and all tiles of a block read the same panels from the L1 cache.
// Source:   blocks as in avx2.cpp.
namespace qnative::gemm {
namespace {

using TileFn = void(const Args& args, int64_t m, int64_t n, int64_t columns);

[[gnu::always_inline]] inline __m256i broadcast_group(const uint8_t* x) {
  int32_t group;
  memcpy(&group, x, sizeof(group));
  return _mm256_set1_epi32(group);
}

// Rows [m, m + kRows), kPanels panels and kVectors vectors of eight columns of each; stores
// `columns` columns.
template <int kRows, int kPanels, int kVectors>
void tile(const Args& args, int64_t m, int64_t n, int64_t columns) {
  const int64_t panel = panel_stride(args);
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  const uint8_t* row[kRows];
  __m256i acc[kPanels][kRows][kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { row[i] = x_row(args, m + i); });
  unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    begin_sums(args, m, n + kPanelColumns * p, acc[p]);
  });
  for (int64_t s = 0; s < args.segments; ++s) {
    const int64_t end = args.segment_offset[s] + args.segment_size;
    for (int64_t k = args.segment_offset[s]; k < end; k += kGroup, w += kStepBytes) {
      unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
        // Otherwise g++ keeps distances of rows, and x for the next panel, in vector registers.
        asm("" : "+r"(k));
        __m256i b[kVectors];
        unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
          b[j] = load_bytes(w + panel * p + 32 * j);
        });
        unroll<kRows>([&](auto i) __attribute__((always_inline)) {
          const __m256i a = broadcast_group(row[i] + k);
          unroll<kVectors>([&](auto j)
                               __attribute__((always_inline)) { dpbusd(acc[p][i][j], a, b[j]); });
        });
      });
    }
  }
  unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
    store_sums(args, m, n + kPanelColumns * p, columns - kPanelColumns * p, acc[p]);
  });
}

// Panels of a tile by its rows. The registers hold twelve sums, and with fewer than ten vpdpbusd
// waits for its own results.
constexpr int64_t kMaxRows = 6;
constexpr int kMaxPanels[kMaxRows] = {5, 3, 2, 1, 1, 1};
constexpr int64_t kBlockBytes = 256 * 1024;  // of x: stays in the L2 cache beside a few panels
constexpr int64_t kMinBlockRows = 8 * kMaxRows;

template <int kRows, int kPanels = kMaxPanels[kRows - 1]>
void sweep(const Args& args, int64_t m, int64_t n, int64_t n_end) {
  for (; n + kPanelColumns * (kPanels - 1) + 8 < n_end; n += kPanelColumns * kPanels) {
    tile<kRows, kPanels, 2>(args, m, n, n_end - n);
  }
  if constexpr (kPanels > 1) {
    sweep<kRows, kPanels - 1>(args, m, n, n_end);
  } else if (n < n_end) {
    tile<kRows, 1, 1>(args, m, n, n_end - n);
  }
}

using SweepFn = void(const Args& args, int64_t m, int64_t n, int64_t n_end);
constexpr SweepFn* kSweeps[kMaxRows] = {sweep<1>, sweep<2>, sweep<3>, sweep<4>, sweep<5>, sweep<6>};

}  // namespace

Fn avx_vnni;
void avx_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
              std::byte*) {
  const int64_t k = row_size(args);
  const int64_t fitting = kBlockBytes / (k > 0 ? k : 1);
  const int64_t block_rows =
      fitting > kMinBlockRows ? fitting / kMaxRows * kMaxRows : kMinBlockRows;
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block_rows) {
    const Blocks blocks(m + block_rows < m_end ? block_rows : m_end - m, kMaxRows);
    // The panels of the lowest tile: all tiles read them from the L1 cache.
    const int64_t width = kPanelColumns * kMaxPanels[blocks.size - 1];
    for (int64_t n = n_begin; n < n_end; n += width) {
      const int64_t columns_end = n + width < n_end ? n + width : n_end;
      int64_t row = m;
      for (int64_t b = 0; b < blocks.count; ++b) {
        const int64_t height = b < blocks.larger ? blocks.size + 1 : blocks.size;
        kSweeps[height - 1](args, row, n, columns_end);
        row += height;
      }
    }
  }
}

}  // namespace qnative::gemm
