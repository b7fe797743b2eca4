#pragma once

#include <cstdint>
#include <span>

#include "blocks.h"
#include "isa.h"

// Rows of a table of 8-bit or 4-bit numbers as float32, one by one or reduced in bags.
//
//   value(r, d) = fma(float(q), scale, bias), q = element d of row r
//
// A row: dim bytes, or for 4 bits (dim + 1) / 2 bytes with the element of even d in the low nibble;
// then scale and bias as float32. They are next to the numbers because the cost of a row is its
// cache lines.
//
//   rows:  y[i][d] = value(indices[i], d)
//   bags:  y[b][d] over the entries i of bag b in their order, each step rounded once
//     sum:  a = 0, then a = a + value(indices[i], d), or with weights
//           a = fma(value(indices[i], d), weights[i], a)
//     mean: the sum, divided by the number of entries
//     max:  a = -inf, then a = value > a ? value : a
//   A bag without entries gives 0.
namespace qnative::embedding {

constexpr int64_t kParamBytes = 2 * sizeof(float);

constexpr int64_t row_bytes(int bits, int64_t dim) {
  return bits == 8 ? dim + kParamBytes : dim / 2 + dim % 2 + kParamBytes;
}

struct Table {
  const uint8_t* data;  // contiguous rows
  int64_t dim;
};

enum class Mode : uint8_t { kSum, kMean, kMax };

struct Bags {
  const int64_t* indices;
  const float* weights;    // one per entry, or null; sum only
  const int64_t* offsets;  // [count + 1]: bag b has the entries [offsets[b], offsets[b + 1])
  int64_t count;
  Mode mode;
};

// Indices are valid rows of the table. y: n * dim or count * dim floats, which overlap nothing.
using RowsFn = void(const Table& table, const int64_t* indices, int64_t n, float* y);
using BagsFn = void(const Table& table, const Bags& bags, float* y);

std::span<const Kernel<RowsFn>> rows_8bit_kernels();
std::span<const Kernel<RowsFn>> rows_4bit_kernels();
std::span<const Kernel<BagsFn>> bags_8bit_kernels();
std::span<const Kernel<BagsFn>> bags_4bit_kernels();

}  // namespace qnative::embedding
