#pragma once

#include <ATen/ATen.h>

#include <array>
#include <vector>

#include "attention/shape.h"

// The matrices of a batch, and the rows of a mask.
namespace qnative::ops {

// The tensors of one call; mask may be undefined.
struct AttentionTensors {
  at::Tensor q, k, v, mask, y;
};

// How many heads of q share one of k and v. Where k and v have different numbers of heads, which is
// rare, these are repeated instead, and it is 1.
int64_t unite_heads(AttentionTensors& tensors, bool enable_gqa);

// Where a matrix of y and its operands begin, in elements.
struct Places {
  int64_t q, k, v, mask, y;
};

class Heads {
 public:
  // group: as unite_heads() says.
  Heads(const AttentionTensors& tensors, const Dims<int64_t>& batch, int64_t group);

  int64_t count() const { return count_; }  // matrices of y
  // How many of them in a row have their keys and values in common; divides count().
  int64_t shared() const { return shared_; }
  Places at(int64_t matrix) const;

 private:
  Dims<int64_t> sizes_;
  std::array<Dims<int64_t>, 5> strides_;  // in the order of Places
  int64_t count_ = 1, shared_ = 1;
};

// Rows of a mask as floats. A boolean mask is 0 where a key takes part and -infinity elsewhere.
class MaskRows {
 public:
  MaskRows(const at::Tensor& mask, int64_t keys);

  bool exists() const { return data_ != nullptr; }
  // Floats of `buffer` that row() needs: none where the rows can be read in place.
  int64_t buffer_size() const { return is_dense_ ? 0 : keys_; }
  // Row `query` of the matrix at `place`. buffer: holds the row of `last`, which is -1 at first;
  // that row may be wanted again.
  const float* row(int64_t place, int64_t query, float* buffer, int64_t& last) const;

 private:
  const void* data_ = nullptr;
  int64_t keys_;
  int64_t row_stride_ = 0, key_stride_ = 0;
  bool is_bool_ = false, is_dense_ = true;
};

}  // namespace qnative::ops
