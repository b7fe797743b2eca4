#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"
#include "qnative/types.h"

// Tables of 8-bit and 4-bit rows that are read as float32; qnative/ops.h has the words and rules.
//
//   const EmbeddingTable table{ops::embedding_8bit_pack(weight)};    // once
//   const at::Tensor y = ops::embedding_8bit(table, indices);
//
// Safe to call from any number of threads at the same time, also with one table.
//
//   value(r, d) = fma(float(element d of row r), scale of r, bias of r)
namespace qnative {

// packed: uint8 [rows, D + 8], or for 4 bits [rows, (D + 1) / 2 + 8]. A row is D bytes, or D
// nibbles, the low one of a byte first, then scale and bias as float32. The 8-bit
// rows are those of torch.ops.quantized.embedding_bag_byte_prepack. Int: as in Values.
template <class Int>
struct BasicEmbeddingTable {
  at::Tensor packed;                      // from embedding_8bit_pack or embedding_4bit_pack
  std::optional<Int> embedding_dim = {};  // D, for 4 bits: their rows do not tell
};
using EmbeddingTable = BasicEmbeddingTable<int64_t>;

// The bags of embedding_bag.
struct EmbeddingBags {
  // Where each bag begins: 0, then not decreasing; int32 or int64 [bags], or [bags + 1] with
  // include_last_offset. None: indices are [bags, entries of each].
  std::optional<at::Tensor> offsets = {};
  int64_t mode = 0;                                   // 0 sum, 1 mean, 2 max
  std::optional<at::Tensor> per_sample_weights = {};  // float32, of the shape of indices; sum only
  bool include_last_offset = false;
  std::optional<int64_t> padding_idx = {};  // in [-rows, rows): left out, not counted by the mean
};

}  // namespace qnative

namespace qnative::ops {

// y[..., d] = value(indices[...], d), float32 [*indices.shape, D], contiguous. indices: int32 or
// int64, each in [0, rows).
QNATIVE_API at::Tensor embedding_8bit(const EmbeddingTable& table, const at::Tensor& indices);
QNATIVE_API at::Tensor embedding_4bit(const EmbeddingTable& table, const at::Tensor& indices);

// torch.nn.functional.embedding_bag of the values: float32 [bags, D], contiguous. A bag without
// entries gives 0. Entries are taken in their order, each step rounded to float32: sum + value,
// with weights fma(value, weight, sum); the mean divides the sum by the number of entries.
QNATIVE_API at::Tensor embedding_bag_8bit(const EmbeddingTable& table, const at::Tensor& indices,
                                          const EmbeddingBags& bags = {});
QNATIVE_API at::Tensor embedding_bag_4bit(const EmbeddingTable& table, const at::Tensor& indices,
                                          const EmbeddingBags& bags = {});

// The table of a real weight [rows, D]: float32, float16, bfloat16 or float64, all finite as
// float32. 8 bits: 0 is the least value of a row, exactly, and 255 the largest. 4 bits: the scale
// and bias of the least squared error that was found. A row of one value has scale 0 and gives that
// value back.
QNATIVE_API at::Tensor embedding_8bit_pack(const at::Tensor& weight);
QNATIVE_API at::Tensor embedding_4bit_pack(const at::Tensor& weight);

// All values, float32 [rows, D].
QNATIVE_API at::Tensor embedding_8bit_unpack(const EmbeddingTable& table);
QNATIVE_API at::Tensor embedding_4bit_unpack(const EmbeddingTable& table);

}  // namespace qnative::ops
