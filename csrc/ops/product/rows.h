#pragma once

#include <cstdint>

#include "gemm/gemm.h"

// The rows of a matrix times packed weights: linear layers, the matrices of matmul and convolutions
// that treat every pixel alike.
namespace qnative::ops {

// Where kernels cannot read x itself they read strips: copies of some of its rows.
inline constexpr int64_t kStripBytes = 128 * 1024;  // in the L2 cache beside a panel of weights
inline constexpr int64_t kStripRows = 48;           // at least, as each reads all weights
inline constexpr int64_t kSlack = 64;               // kernels read a few bytes past the end

// y[i] = x[i] ^ flip
void copy_flipped(const uint8_t* x, uint8_t* y, int64_t n, uint8_t flip);

// 8-bit [m][k] of any strides, in bytes.
struct Rows {
  const uint8_t* data;
  int64_t m, k;
  int64_t row_stride, k_stride;
  uint8_t flip;  // 0x80 for int8
};

// product: all fields but x, offsets, segments and strides; its weight has one segment. y is
// [m][n]. Nothing may be empty.
void run_rows(const Rows& x, const gemm::Args& product);

// The columns of a product in units for tasks: whole panels, more than one where there are enough.
struct ColumnUnits {
  int64_t size, count;
};
ColumnUnits column_units(int64_t n, int64_t tasks);

}  // namespace qnative::ops
