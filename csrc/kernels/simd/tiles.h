#pragma once

#include <stdint.h>
#include <string.h>

// AMX tiles: matrices of up to 16 rows of 64 bytes in eight numbered registers. Here 0 to 3 hold
// sums (int32), 4 and 5 rows of x (uint8), 6 and 7 packed weights (int8), one group of four k of 16
// columns per row.
//
//   configure_tiles(rows, groups)   x and sums have `rows` rows, x and weights `groups` groups
//   release_tiles()                 must follow, or thread switches cost more from then on
//   zero_tile<kSum>()
//   load_tile<kTile>(from, stride)  x or weights; rows are `stride` bytes apart
//   multiply_tiles<kSum, kX, kW>()  sum[i][n] += sum_{k < 4 * groups} x[i][k] * w[k / 4][n][k % 4]
//   store_tile<kSum>(to, stride)
//
// With QNATIVE_EMULATE_AVX512 they are plain C++.

namespace qnative {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // per row
constexpr int kSumTiles = 4;
constexpr int kXTile = 4, kXTiles = 2;
constexpr int kWeightTile = 6, kWeightTiles = 2;

#if !defined(QNATIVE_EMULATE_AVX512)

// As assembly: the intrinsics of g++ 12 do not declare that they read memory.
[[gnu::always_inline]] inline void configure_tiles(int64_t rows, int64_t groups) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {};
  config.palette = 1;
  for (int i = 0; i < kWeightTile + kWeightTiles; ++i) {
    const bool is_x = i >= kXTile && i < kXTile + kXTiles;
    config.row_bytes[i] = static_cast<uint16_t>(is_x ? 4 * groups : kTileBytes);
    config.rows[i] = static_cast<uint8_t>(i >= kWeightTile ? groups : rows);
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}
[[gnu::always_inline]] inline void release_tiles() { asm volatile("tilerelease"); }

template <int kSum>
[[gnu::always_inline]] inline void zero_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kSum));
}
template <int kTile>
[[gnu::always_inline]] inline void load_tile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kSum, int kX, int kWeight>
[[gnu::always_inline]] inline void multiply_tiles() {
  asm volatile("tdpbusd %%tmm%c0, %%tmm%c1, %%tmm%c2" : : "i"(kWeight), "i"(kX), "i"(kSum));
}
template <int kSum>
[[gnu::always_inline]] inline void store_tile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kSum) : "memory");
}

#else

struct Tiles {
  int64_t rows, groups;
  uint8_t x[kXTiles][kTileRows][kTileBytes];
  int8_t weight[kWeightTiles][kTileRows][kTileBytes];
  int32_t sum[kSumTiles][kTileRows][kTileBytes / 4];
};
thread_local Tiles tiles;

inline void configure_tiles(int64_t rows, int64_t groups) {
  memset(&tiles, 0, sizeof(tiles));
  tiles.rows = rows;
  tiles.groups = groups;
}
inline void release_tiles() { memset(&tiles, 0xa5, sizeof(tiles)); }

inline void copy_rows(void* to, int64_t to_stride, const void* from, int64_t from_stride,
                      int64_t rows, int64_t bytes) {
  for (int64_t i = 0; i < rows; ++i) {
    memcpy(static_cast<char*>(to) + i * to_stride, static_cast<const char*>(from) + i * from_stride,
           bytes);
  }
}
template <int kSum>
inline void zero_tile() {
  memset(tiles.sum[kSum], 0, sizeof(tiles.sum[kSum]));
}
template <int kTile>
inline void load_tile(const void* from, int64_t stride) {
  if constexpr (kTile >= kWeightTile) {
    copy_rows(tiles.weight[kTile - kWeightTile], kTileBytes, from, stride, tiles.groups,
              kTileBytes);
  } else {
    copy_rows(tiles.x[kTile - kXTile], kTileBytes, from, stride, tiles.rows, 4 * tiles.groups);
  }
}
template <int kSum, int kX, int kWeight>
inline void multiply_tiles() {
  for (int64_t i = 0; i < tiles.rows; ++i) {
    for (int64_t n = 0; n < kTileBytes / 4; ++n) {
      uint32_t sum = static_cast<uint32_t>(tiles.sum[kSum][i][n]);
      for (int64_t k = 0; k < 4 * tiles.groups; ++k) {
        const int8_t weight = tiles.weight[kWeight - kWeightTile][k / 4][4 * n + k % 4];
        sum += static_cast<uint32_t>(tiles.x[kX - kXTile][i][k] * weight);
      }
      tiles.sum[kSum][i][n] = static_cast<int32_t>(sum);
    }
  }
}
template <int kSum>
inline void store_tile(void* to, int64_t stride) {
  copy_rows(to, stride, tiles.sum[kSum], kTileBytes, tiles.rows, kTileBytes);
}

#endif

}  // namespace
}  // namespace qnative
