#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "common/layout.h"

// The matrices of torch.matmul.
namespace qnative::ops {

template <class Int>
struct MatmulShape {
  Dims<Int> batch, y;
  Int m, n, k;
};
// An error names `op` when a and b do not fit.
template <class Int>
MatmulShape<Int> matmul_shape(const char* op, const at::Tensor& a, const at::Tensor& b);

// Where the matrices of a batch begin in an operand, in elements, and the strides of each. The
// vector that a 1-d operand is has its one dimension last in a, and first in b.
struct Matrices {
  Matrices(const at::Tensor& tensor, at::IntArrayRef batch, bool is_left);

  std::vector<int64_t> offsets;
  int64_t row_stride, column_stride;
};

// Rows of all matrices of a contiguous a, one after the other, are rows of one matrix where b is
// one. Changes a and b to that and returns its rows, otherwise m.
int64_t merge_rows(const at::Tensor& tensor, int64_t m, int64_t k, Matrices& a, Matrices& b);

}  // namespace qnative::ops
