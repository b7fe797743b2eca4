#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "qnative/ops/embedding.h"

// Shared by the ops over tables of 8-bit and 4-bit rows. Int is int64_t in CPU functions and
// c10::SymInt in Meta functions.
namespace qnative::ops {

struct TableOp {
  const char* op;  // the name after qnative::, for messages
  int bits;        // of the table
};

// Checks what can be checked; returns the number of columns.
template <class Int>
Int check_table(const TableOp& op, const BasicEmbeddingTable<Int>& table, at::DeviceType device);

// A table of the schemas, borrowed.
template <class Int>
class BorrowedTable {
 public:
  explicit BorrowedTable(const at::Tensor& packed, std::optional<Int> embedding_dim = {})
      : value_{{}, std::move(embedding_dim)} {
    value_.packed = Borrow::createBorrow(packed);
  }
  ~BorrowedTable() { Borrow::destroyBorrow(value_.packed); }
  BorrowedTable(const BorrowedTable&) = delete;
  BorrowedTable& operator=(const BorrowedTable&) = delete;

  operator const BasicEmbeddingTable<Int>&() const { return value_; }

 private:
  using Borrow = c10::MaybeOwnedTraits<at::Tensor>;
  BasicEmbeddingTable<Int> value_;
};

// Int or Long.
void check_integers(const char* op, const char* name, const at::Tensor& tensor,
                    at::DeviceType device);

// The same as contiguous int64.
at::Tensor to_long(const at::Tensor& integers);

// Each of n indices is a row of a table.
void check_indices(const char* op, const int64_t* indices, int64_t n, int64_t rows);

}  // namespace qnative::ops
