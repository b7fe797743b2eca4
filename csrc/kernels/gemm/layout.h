#pragma once

#include "blocks.h"
#include "gemm.h"

// What the files of this family share: the packed layout in numbers, and avx2.cpp's scratch.
namespace qnative::gemm {
namespace {

constexpr int64_t kGroup = 4;  // consecutive k of one column, a 32-bit lane
constexpr int64_t kStepBytes = kPanelColumns * kGroup;

// Bytes of one panel: 16 columns of every segment.
inline int64_t panel_size(int64_t segments, int64_t segment_size) {
  return segments * ceil_div(segment_size, kGroup) * kStepBytes;
}

// From one panel of the weights to the next.
inline int64_t panel_stride(const Args& args) {
  return args.panel_stride != 0 ? args.panel_stride : panel_size(args.segments, args.segment_size);
}

// Bytes of x that one row multiplies, with every segment padded to groups of four.
inline int64_t row_size(const Args& args) {
  return args.segments * round_up(args.segment_size, kGroup);
}

inline const uint8_t* x_row(const Args& args, int64_t i) {
  return args.x + (args.row_offset != nullptr ? args.row_offset[i] : i * args.x_stride);
}

// Of one element of y.
inline int64_t y_bytes(const Args& args) { return args.float_output || args.sum_output ? 4 : 1; }

inline bool has_outliers(const Args& args, int64_t m, int64_t rows) {
  if (args.outlier_count == nullptr) return false;
  int32_t count = 0;
  for (int64_t i = 0; i < rows; ++i) count += args.outlier_count[m + i];
  return count > 0;
}
inline const Outlier* outliers_of(const Args& args, int64_t i) {
  return args.outliers + i * args.outlier_stride;
}
// The lanes of columns n, n + 1, ... whose byte k % 4 is the weight of k; n is a multiple of 16.
inline const int8_t* lanes_of(const Args& args, int64_t n, int64_t k) {
  return args.weight + n / kPanelColumns * panel_stride(args) + k / kGroup * kStepBytes;
}
// How far that byte is from the top of its lane, in bits.
inline int shift_to_top(int32_t k) { return 8 * (3 - k % static_cast<int32_t>(kGroup)); }
inline uint32_t upper_half(int32_t value) { return static_cast<uint32_t>(value) << 16; }

// avx2.cpp goes through blocks of rows that stay in the L2 cache, as int16 where it needs that, in
// tiles of the least height. Odd strides in units of 64 bytes keep the rows of a tile out of one
// set of the L1 cache. Scratch holds the rows and, of one panel, lists of its groups and the
// weights as int16. To part the groups pays from kSortRows rows on.
constexpr int64_t kFewRows = 2;
constexpr int64_t kWideTileRows = 6;
constexpr int64_t kSortRows = 24;
constexpr int64_t kStepLists = 4;

// Where a group is: of x, from the beginning of a row; of the weights, from that of the panel.
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
  const int64_t of_group = kStepLists * static_cast<int64_t>(sizeof(Step)) + 2 * kStepBytes;
  const int64_t panel = block > kFewRows ? groups * of_group : 0;
  return block * wide_row_stride(args) * static_cast<int64_t>(sizeof(int16_t)) + panel;
}

// amx_int8.cpp goes through blocks of rows that stay in the L2 cache. Scratch holds the sums of a
// tile, and of the rows of a block the last step and, with segments or offsets, a copy.
constexpr int64_t kTileSumBytes = 4096;

inline int64_t tile_row_stride(const Args& args) { return (ceil_div(row_size(args), 64) | 1) * 64; }
// Rows, a multiple of 16.
inline int64_t tile_block(const Args& args, int64_t rows) {
  constexpr int64_t kBlockBytes = 512 * 1024;
  const int64_t pairs = kBlockBytes / (32 * tile_row_stride(args));
  const int64_t most = 32 * (pairs > 1 ? pairs : 1);
  return rows < most ? round_up(rows, 16) : most;
}
inline int64_t tile_scratch_size(const Args& args, int64_t rows) {
  if (rows == 0) return 0;
  return kTileSumBytes + tile_block(args, rows) * (64 + tile_row_stride(args)) + 64;
}

}  // namespace
}  // namespace qnative::gemm
