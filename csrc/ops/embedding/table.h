#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

// What the ops over tables of 8-bit and 4-bit rows share. Int is int64_t in CPU functions and
// c10::SymInt in Meta functions.
namespace qnative::ops {

// A table as the ops get it. embedding_dim: of 4-bit tables only.
template <class Int>
struct TableArgs {
  const char* op;
  const at::Tensor& weight;
  std::optional<Int> embedding_dim;

  // Checks what can be checked; returns the number of columns.
  Int check(at::DeviceType device) const;
};

// Int or Long.
void check_integers(const char* op, const char* name, const at::Tensor& tensor,
                    at::DeviceType device);

// The same as contiguous int64.
at::Tensor to_long(const at::Tensor& integers);

// Each of n indices is a row of a table.
void check_indices(const char* op, const int64_t* indices, int64_t n, int64_t rows);

}  // namespace qnative::ops
