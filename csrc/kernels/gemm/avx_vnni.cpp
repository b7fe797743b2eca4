#include <immintrin.h>

#include "epilogue_avx2.h"
#include "gemm.h"
#include "layout.h"
#include "simd/dpbusd_avx2.h"
#include "simd/unroll.h"

namespace qnative::gemm {
namespace {

using TileFn = void(const Args& args, int64_t m, int64_t n, int64_t columns);

[[gnu::always_inline]] inline __m256i broadcast_group(const uint8_t* x) {
  int32_t group;
  memcpy(&group, x, sizeof(group));
  return _mm256_set1_epi32(group);
}

// Rows from m on, and kPanels panels of `columns` columns, of the last of which kVectors vectors
// of eight are multiplied.
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
        // Or g++ keeps distances of rows, and x for the next panel, in vector registers.
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

// Twelve sums are what the registers hold, and with less than ten vpdpbusd waits for itself: few
// rows go with several panels.
constexpr int64_t kTallest = 6;
constexpr int kMostPanels[kTallest] = {5, 3, 2, 1, 1, 1};

template <int kRows, int kPanels = kMostPanels[kRows - 1]>
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
constexpr SweepFn* kSweeps[kTallest] = {sweep<1>, sweep<2>, sweep<3>, sweep<4>, sweep<5>, sweep<6>};

}  // namespace

Fn avx_vnni;
void avx_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
              std::byte*) {
  // Rows of x that stay in the L2 cache beside a few panels.
  constexpr int64_t kBlockBytes = 256 * 1024;
  const int64_t k = row_size(args);
  const int64_t fitting = kBlockBytes / (k > 0 ? k : 1);
  const int64_t most = kTallest * (fitting > 8 * kTallest ? fitting / kTallest : 8);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += most) {
    const Blocks blocks(m + most < m_end ? most : m_end - m, kTallest);
    // As many panels as a tile of the least height takes: all tiles read them from the L1 cache.
    const int64_t width = kPanelColumns * kMostPanels[blocks.size - 1];
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
