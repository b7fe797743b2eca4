#pragma once

#include <cstdint>
#include <span>

#include "isa.h"

// Matrices that are no weights, such as keys, values and the right side of matmul, as panels: the
// layout in which gemm/gemm.h takes weights of one segment.
namespace qnative::panels {

// An 8-bit matrix [k][n] of any strides, whose bytes with `flip` turned over are int8.
struct Matrix {
  const uint8_t* data;
  int64_t k, n;
  int64_t k_stride, n_stride;
  uint8_t flip;
};

// Panels [begin, end) of 16 columns of the matrix, of one segment of k bytes, zero padded, and
// their column sums. packed, sums: of the first of these panels; 64 * ceil(k / 4) bytes and 16 sums
// each.
using Fn = void(const Matrix& matrix, int64_t begin, int64_t end, int8_t* packed, int32_t* sums);

std::span<const Kernel<Fn>> kernels();

}  // namespace qnative::panels
