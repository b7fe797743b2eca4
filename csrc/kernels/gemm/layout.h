#pragma once

#include "blocks.h"
#include "gemm.h"

// The packed layout in numbers, and the scratch layouts of avx2.cpp and amx_int8.cpp.
namespace qnative::gemm {
namespace {

constexpr int64_t kGroup = 4;  // consecutive k of one column, a 32-bit lane
constexpr int64_t kStepBytes = kPanelColumns * kGroup;

// Bytes of one panel: 16 columns of every segment.
inline int64_t panel_size(int64_t segments, int64_t segment_size) {
  return segments * ceil_div(segment_size, kGroup) * kStepBytes;
}

// Bytes between the panels of the weights.
inline int64_t panel_stride(const Args& args) {
  return args.panel_stride != 0 ? args.panel_stride : panel_size(args.segments, args.segment_size);
}

// Index of w[n][s][k] in panels that are `panel` bytes apart.
inline int64_t packed_index(int64_t n, int64_t s, int64_t k, int64_t segment_size, int64_t panel) {
  return n / kPanelColumns * panel +
         (s * ceil_div(segment_size, kGroup) + k / kGroup) * kStepBytes +
         n % kPanelColumns * kGroup + k % kGroup;
}

// Bytes of one row of the product, every segment padded to groups of four.
inline int64_t row_size(const Args& args) {
  return args.segments * round_up(args.segment_size, kGroup);
}

inline const uint8_t* x_row(const Args& args, int64_t i) {
  return args.x + (args.row_offset != nullptr ? args.row_offset[i] : i * args.x_stride);
}

inline bool has_outliers(const Args& args, int64_t m, int64_t rows) {
  if (args.outlier_count == nullptr) return false;
  int32_t count = 0;
  for (int64_t i = 0; i < rows; ++i) count += args.outlier_count[m + i];
  return count > 0;
}
inline const Outlier* outliers_of(const Args& args, int64_t i) {
  return args.outliers + i * args.outlier_stride;
}
// The 32-bit lanes of columns n, n + 1, ... with the weight of k in byte k % 4; n is a multiple of
// 16.
inline const int8_t* lanes_of(const Args& args, int64_t n, int64_t k) {
  return args.weight + n / kPanelColumns * panel_stride(args) + k / kGroup * kStepBytes;
}
// Bits from that byte to the top of its lane.
inline int shift_to_top(int32_t k) { return 8 * (3 - k % static_cast<int32_t>(kGroup)); }
inline uint32_t upper_half(int32_t value) { return static_cast<uint32_t>(value) << 16; }

// avx2.cpp works on blocks of rows that stay in the L2 cache, widened to int16 where needed. A row
// stride that is an odd multiple of 64 bytes keeps the rows of a tile out of one set of the L1
// cache. Scratch holds the block's rows and, for one panel, its lists of groups and its widened
// weights. Sorting the groups pays from kSortRows rows on.
constexpr int64_t kFewRows = 2;
constexpr int64_t kWideTileRows = 6;
constexpr int64_t kSortRows = 24;
constexpr int64_t kStepLists = 4;

// A group of four k: its offset in a row of x and in the panel of weights.
struct Step {
  int64_t x, w;
};

inline int64_t wide_row_stride(const Args& args) {
  constexpr int64_t kLine = 64 / sizeof(int16_t);
  return (ceil_div(row_size(args), kLine) | 1) * kLine;
}
inline int64_t wide_block_rows(const Args& args) {
  constexpr int64_t kBlockElements = 256 * 1024;
  const int64_t tiles = kBlockElements / (wide_row_stride(args) * kWideTileRows);
  return kWideTileRows * (tiles > 1 ? tiles : 1);
}
inline int64_t wide_scratch_size(const Args& args, int64_t rows) {
  const int64_t block = wide_block_rows(args) < rows ? wide_block_rows(args) : rows;
  const int64_t groups = row_size(args) / kGroup;
  const int64_t group_bytes = kStepLists * static_cast<int64_t>(sizeof(Step)) + 2 * kStepBytes;
  const int64_t panel = block > kFewRows ? groups * group_bytes : 0;
  return block * wide_row_stride(args) * static_cast<int64_t>(sizeof(int16_t)) + panel;
}

// amx_int8.cpp works on blocks of rows that stay in the L2 cache. Scratch holds the sums of a tile,
// the last step of the block's rows and, with segments or offsets, a copy of the rows.
constexpr int64_t kTileSumBytes = 4096;

inline int64_t tile_row_stride(const Args& args) { return (ceil_div(row_size(args), 64) | 1) * 64; }
// Rows, a multiple of 16.
inline int64_t tile_block(const Args& args, int64_t rows) {
  constexpr int64_t kBlockBytes = 512 * 1024;
  const int64_t pairs = kBlockBytes / (32 * tile_row_stride(args));
  const int64_t max_rows = 32 * (pairs > 1 ? pairs : 1);
  return rows < max_rows ? round_up(rows, 16) : max_rows;
}
inline int64_t tile_scratch_size(const Args& args, int64_t rows) {
  if (rows == 0) return 0;
  return kTileSumBytes + tile_block(args, rows) * (64 + tile_row_stride(args)) + 64;
}

}  // namespace
}  // namespace qnative::gemm
