#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "qnative/export.h"

// Tables of 8-bit and 4-bit rows that are read as float32. The words and errors of qnative/ops.h.
//
//   weight: uint8 [rows, D + 8], or for 4 bits [rows, (D + 1) / 2 + 8]. A row is D bytes, or D
//   nibbles of which the low one of a byte comes first, then scale and bias as float32. The 8-bit
//   rows are those of torch.ops.quantized.embedding_bag_byte_prepack.
//   embedding_dim: D, which a 4-bit weight does not tell.
//
//   value(r, d) = fma(float(element d of row r), scale of r, bias of r)
//
// indices: int32 or int64, each in [0, rows).
namespace qnative::ops {

// y[..., d] = value(indices[...], d), float32 [*indices.shape, D], contiguous.
QNATIVE_API at::Tensor embedding_8bit(const at::Tensor& weight, const at::Tensor& indices);
QNATIVE_API at::Tensor embedding_4bit(const at::Tensor& weight, int64_t embedding_dim,
                                      const at::Tensor& indices);

// torch.nn.functional.embedding_bag of the values: float32 [bags, D], contiguous.
//
// indices: [bags, entries of each] without offsets, or of one dimension with them. offsets: int32
// or int64 [bags], or [bags + 1] with include_last_offset, where each bag begins: 0, then not
// decreasing. mode: 0 sum, 1 mean, 2 max. per_sample_weights: float32 of the shape of indices, sum
// only. padding_idx: in [-rows, rows); its entries are left out and not counted by the mean. A bag
// without entries gives 0.
//   Entries are taken in their order, each step rounded to float32: sum + value, with weights
//   fma(value, weight, sum); the mean divides the sum by the number of entries.
QNATIVE_API at::Tensor embedding_bag_8bit(
    const at::Tensor& weight, const at::Tensor& indices,
    const std::optional<at::Tensor>& offsets = std::nullopt, int64_t mode = 0,
    const std::optional<at::Tensor>& per_sample_weights = std::nullopt,
    bool include_last_offset = false, std::optional<int64_t> padding_idx = std::nullopt);
QNATIVE_API at::Tensor embedding_bag_4bit(
    const at::Tensor& weight, int64_t embedding_dim, const at::Tensor& indices,
    const std::optional<at::Tensor>& offsets = std::nullopt, int64_t mode = 0,
    const std::optional<at::Tensor>& per_sample_weights = std::nullopt,
    bool include_last_offset = false, std::optional<int64_t> padding_idx = std::nullopt);

// (weight) of a real table [rows, D]: float32, float16, bfloat16 or
// float64, all finite as float32. 8 bits: 0 is the least value of a row, exactly, and 255 the
// largest. 4 bits: the scale and bias of the least squared error that was found. A row of one value
// has scale 0 and gives that value back.
QNATIVE_API at::Tensor embedding_8bit_pack(const at::Tensor& weight);
QNATIVE_API at::Tensor embedding_4bit_pack(const at::Tensor& weight);

// All values, float32 [rows, D].
QNATIVE_API at::Tensor embedding_8bit_unpack(const at::Tensor& weight);
QNATIVE_API at::Tensor embedding_4bit_unpack(const at::Tensor& weight, int64_t embedding_dim);

}  // namespace qnative::ops
