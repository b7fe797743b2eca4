#include <torch/library.h>

#include <algorithm>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "embedding/embedding.h"
#include "embedding/table.h"
#include "qnative/ops/embedding.h"

namespace qnative::ops {
namespace {

constexpr int64_t kBagGrain = 16 * 1024;  // elements of rows that are read, a task

constexpr TableOp kBag8{"embedding_bag_8bit", 8};
constexpr TableOp kBag4{"embedding_bag_4bit", 4};

embedding::BagsFn& bags_kernel(int bits) {
  static auto& run_8bit = select(embedding::bags_8bit_kernels());
  static auto& run_4bit = select(embedding::bags_4bit_kernels());
  return bits == 8 ? run_8bit : run_4bit;
}

// Checks all but values; returns the number of bags.
template <class Int>
Int check_bags(const char* op, const at::Tensor& weight, const at::Tensor& indices,
               const EmbeddingBags& bags, at::DeviceType device) {
  check_integers(op, "indices", indices, device);
  const int64_t rank = bags.offsets ? 1 : 2;
  TORCH_CHECK(indices.dim() == rank, "qnative::", op, ": indices must have ", rank,
              " dimensions with", bags.offsets ? "" : "out", " offsets, got ",
              at::symint::sizes<Int>(indices));
  TORCH_CHECK(bags.mode >= 0 && bags.mode <= 2, "qnative::", op,
              ": mode must be 0 (sum), 1 (mean) or 2 (max), got ", bags.mode);
  if (bags.per_sample_weights) {
    TORCH_CHECK(bags.mode == 0, "qnative::", op,
                ": per_sample_weights need mode 0 (sum), got mode ", bags.mode);
    check_tensor(op, "per_sample_weights", *bags.per_sample_weights, device);
    check_dtype(op, "per_sample_weights", *bags.per_sample_weights, at::kFloat);
    TORCH_CHECK(at::symint::sizes<Int>(*bags.per_sample_weights) == at::symint::sizes<Int>(indices),
                "qnative::", op, ": per_sample_weights must have the shape of indices ",
                at::symint::sizes<Int>(indices), ", got ",
                at::symint::sizes<Int>(*bags.per_sample_weights));
  }
  const Int rows = at::symint::size<Int>(weight, 0);
  TORCH_CHECK(!bags.padding_idx || (rows > *bags.padding_idx && rows + *bags.padding_idx >= 0),
              "qnative::", op, ": padding_idx must be in [-rows, rows), got ", *bags.padding_idx,
              " and ", rows, " rows");
  if (!bags.offsets) return at::symint::size<Int>(indices, 0);
  check_integers(op, "offsets", *bags.offsets, device);
  const int64_t min_size = bags.include_last_offset ? 1 : 0;
  TORCH_CHECK(bags.offsets->dim() == 1 && at::symint::size<Int>(*bags.offsets, 0) >= min_size,
              "qnative::", op, ": offsets must have shape [bags", min_size ? " + 1" : "", "], got ",
              at::symint::sizes<Int>(*bags.offsets));
  return at::symint::size<Int>(*bags.offsets, 0) - min_size;
}

// Where each bag begins and the last one ends.
at::Tensor read_offsets(const char* op, const at::Tensor& indices,
                        const std::optional<at::Tensor>& offsets, int64_t bags) {
  at::Tensor all = empty({bags + 1}, at::kLong);
  auto* to = all.mutable_data_ptr<int64_t>();
  if (!offsets) {
    for (int64_t b = 0; b <= bags; ++b) to[b] = b * indices.size(1);
    return all;
  }
  const at::Tensor given = to_long(*offsets);
  to[bags] = indices.numel();
  std::copy_n(given.const_data_ptr<int64_t>(), given.numel(), to);
  TORCH_CHECK(given.numel() == 0 || to[0] == 0, "qnative::", op,
              ": offsets must begin with 0, got ", to[0]);
  for (int64_t b = 0; b < bags; ++b) {
    TORCH_CHECK(to[b] <= to[b + 1], "qnative::", op, ": offsets must not decrease",
                b + 1 < given.numel() ? "" : ", up to the number of indices", ", got ", to[b],
                " before ", to[b + 1]);
  }
  TORCH_CHECK(to[bags] <= indices.numel(), "qnative::", op,
              ": offsets must be at most the number of indices ", indices.numel(), ", got ",
              to[bags]);
  return all;
}

// All entries of all bags.
struct Entries {
  at::Tensor indices, offsets, weights;  // int64, int64, float32 or undefined; contiguous

  // rows: of the table; count: bags.
  Entries(const char* op, int64_t rows, const at::Tensor& entries, const EmbeddingBags& bags,
          int64_t count)
      : indices(to_long(entries)), offsets(read_offsets(op, entries, bags.offsets, count)) {
    if (bags.per_sample_weights) weights = bags.per_sample_weights->contiguous();
    check_indices(op, indices.const_data_ptr<int64_t>(), indices.numel(), rows);
    if (bags.padding_idx) leave_out(*bags.padding_idx + (*bags.padding_idx < 0 ? rows : 0));
  }

 private:
  void leave_out(int64_t row) {
    const auto* from = indices.const_data_ptr<int64_t>();
    if (std::find(from, from + indices.numel(), row) == from + indices.numel()) return;
    at::Tensor kept = empty({indices.numel()}, at::kLong), kept_weights;
    if (weights.defined()) kept_weights = empty({indices.numel()}, at::kFloat);
    auto* to = kept.mutable_data_ptr<int64_t>();
    auto* offset = offsets.mutable_data_ptr<int64_t>();
    int64_t count = 0, i = 0;
    for (int64_t b = 1; b < offsets.numel(); ++b) {
      for (; i < offset[b]; ++i) {
        if (from[i] == row) continue;
        if (weights.defined()) {
          kept_weights.mutable_data_ptr<float>()[count] = weights.const_data_ptr<float>()[i];
        }
        to[count++] = from[i];
      }
      offset[b] = count;
    }
    indices = kept;
    weights = kept_weights;
  }
};

at::Tensor run_bags(const TableOp& op, const EmbeddingTable& table, const at::Tensor& indices,
                    const EmbeddingBags& bags) {
  embedding::BagsFn& run = bags_kernel(op.bits);
  const at::AutoDispatchBelowADInplaceOrView guard;
  const int64_t dim = check_table(op, table, at::kCPU);
  const auto count = check_bags<int64_t>(op.op, table.packed, indices, bags, at::kCPU);
  const Entries entries(op.op, table.packed.size(0), indices, bags, count);
  const at::Tensor weight = table.packed.contiguous();
  const embedding::Table dense{weight.const_data_ptr<uint8_t>(), dim};
  const at::Tensor y = empty({count, dim}, at::kFloat);
  if (y.numel() == 0) return y;
  const embedding::Bags all{
      .indices = entries.indices.const_data_ptr<int64_t>(),
      .weights = entries.weights.defined() ? entries.weights.const_data_ptr<float>() : nullptr,
      .offsets = entries.offsets.const_data_ptr<int64_t>(),
      .count = count,
      .mode = static_cast<embedding::Mode>(bags.mode)};
  float* to = y.mutable_data_ptr<float>();
  const int64_t work = dim * (1 + all.offsets[count] / count);
  run_parts(count, work, kBagGrain, [&](int64_t begin, int64_t end) {
    embedding::Bags part = all;
    part.offsets += begin;
    part.count = end - begin;
    run(dense, part, to + begin * dim);
  });
  return y;
}

template <const TableOp& kOp>
at::Tensor bags_meta(const BasicEmbeddingTable<c10::SymInt>& table, const at::Tensor& indices,
                     const EmbeddingBags& bags) {
  const c10::SymInt dim = check_table(kOp, table, at::kMeta);
  const auto count = check_bags<c10::SymInt>(kOp.op, table.packed, indices, bags, at::kMeta);
  return at::empty_symint({count, dim}, table.packed.options().dtype(at::kFloat));
}

}  // namespace

at::Tensor embedding_bag_8bit(const EmbeddingTable& table, const at::Tensor& indices,
                              const EmbeddingBags& bags) {
  return run_bags(kBag8, table, indices, bags);
}

at::Tensor embedding_bag_4bit(const EmbeddingTable& table, const at::Tensor& indices,
                              const EmbeddingBags& bags) {
  return run_bags(kBag4, table, indices, bags);
}

namespace {

// The ops of the schemas. kRun: the function for CPU or for Meta; Int: as in Values.
template <auto kRun, class Int>
at::Tensor bag_8bit_op(const at::Tensor& weight, const at::Tensor& indices,
                       const std::optional<at::Tensor>& offsets, int64_t mode,
                       const std::optional<at::Tensor>& per_sample_weights,
                       bool include_last_offset, std::optional<int64_t> padding_idx) {
  return kRun(BorrowedTable<Int>(weight), indices,
              {offsets, mode, per_sample_weights, include_last_offset, padding_idx});
}
template <auto kRun, class Int>
at::Tensor bag_4bit_op(const at::Tensor& weight, Int embedding_dim, const at::Tensor& indices,
                       const std::optional<at::Tensor>& offsets, int64_t mode,
                       const std::optional<at::Tensor>& per_sample_weights,
                       bool include_last_offset, std::optional<int64_t> padding_idx) {
  return kRun(BorrowedTable<Int>(weight, std::move(embedding_dim)), indices,
              {offsets, mode, per_sample_weights, include_last_offset, padding_idx});
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("embedding_bag_8bit", TORCH_FN((bag_8bit_op<embedding_bag_8bit, int64_t>)));
  m.impl("embedding_bag_4bit", TORCH_FN((bag_4bit_op<embedding_bag_4bit, int64_t>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("embedding_bag_8bit", TORCH_FN((bag_8bit_op<bags_meta<kBag8>, c10::SymInt>)));
  m.impl("embedding_bag_4bit", TORCH_FN((bag_4bit_op<bags_meta<kBag4>, c10::SymInt>)));
}

}  // namespace qnative::ops
