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

struct BagArgs {
  const at::Tensor& indices;
  const std::optional<at::Tensor>& offsets;
  int64_t mode;
  const std::optional<at::Tensor>& weights;
  bool include_last_offset;
  std::optional<int64_t> padding_idx;
};

// Checks all but values; returns the number of bags.
template <class Int>
Int check_bags(const TableArgs<Int>& table, const BagArgs& args, at::DeviceType device) {
  const char* const op = table.op;
  check_integers(op, "indices", args.indices, device);
  const int64_t rank = args.offsets ? 1 : 2;
  TORCH_CHECK(args.indices.dim() == rank, "qnative::", op, ": indices must have ", rank,
              " dimensions with", args.offsets ? "" : "out", " offsets, got ",
              at::symint::sizes<Int>(args.indices));
  TORCH_CHECK(args.mode >= 0 && args.mode <= 2, "qnative::", op,
              ": mode must be 0 (sum), 1 (mean) or 2 (max), got ", args.mode);
  if (args.weights) {
    TORCH_CHECK(args.mode == 0, "qnative::", op,
                ": per_sample_weights need mode 0 (sum), got mode ", args.mode);
    check_tensor(op, "per_sample_weights", *args.weights, device);
    check_dtype(op, "per_sample_weights", *args.weights, at::kFloat);
    TORCH_CHECK(at::symint::sizes<Int>(*args.weights) == at::symint::sizes<Int>(args.indices),
                "qnative::", op, ": per_sample_weights must have the shape of indices ",
                at::symint::sizes<Int>(args.indices), ", got ",
                at::symint::sizes<Int>(*args.weights));
  }
  const Int rows = at::symint::size<Int>(table.weight, 0);
  TORCH_CHECK(!args.padding_idx || (rows + *args.padding_idx >= 0 && rows > *args.padding_idx),
              "qnative::", op, ": padding_idx must be in [-rows, rows), got ", *args.padding_idx,
              " and ", rows, " rows");
  if (!args.offsets) return at::symint::size<Int>(args.indices, 0);
  check_integers(op, "offsets", *args.offsets, device);
  const int64_t least = args.include_last_offset ? 1 : 0;
  TORCH_CHECK(args.offsets->dim() == 1 && at::symint::size<Int>(*args.offsets, 0) >= least,
              "qnative::", op, ": offsets must have shape [bags", least ? " + 1" : "", "], got ",
              at::symint::sizes<Int>(*args.offsets));
  return at::symint::size<Int>(*args.offsets, 0) - least;
}

// Where each bag begins and the last one ends.
at::Tensor read_offsets(const char* op, const BagArgs& args, int64_t bags) {
  at::Tensor all = empty({bags + 1}, at::kLong);
  auto* to = all.mutable_data_ptr<int64_t>();
  if (!args.offsets) {
    for (int64_t b = 0; b <= bags; ++b) to[b] = b * args.indices.size(1);
    return all;
  }
  const at::Tensor given = to_long(*args.offsets);
  to[bags] = args.indices.numel();
  std::copy_n(given.const_data_ptr<int64_t>(), given.numel(), to);
  TORCH_CHECK(given.numel() == 0 || to[0] == 0, "qnative::", op,
              ": offsets must begin with 0, got ", to[0]);
  for (int64_t b = 0; b < bags; ++b) {
    TORCH_CHECK(to[b] <= to[b + 1], "qnative::", op, ": offsets must not decrease",
                b + 1 < given.numel() ? "" : ", up to the number of indices", ", got ", to[b],
                " before ", to[b + 1]);
  }
  TORCH_CHECK(to[bags] <= args.indices.numel(), "qnative::", op,
              ": offsets must be at most the number of indices ", args.indices.numel(), ", got ",
              to[bags]);
  return all;
}

// All entries of all bags.
struct Entries {
  at::Tensor indices, offsets, weights;  // int64, int64, float32 or undefined; contiguous

  Entries(const TableArgs<int64_t>& table, const BagArgs& args, int64_t bags)
      : indices(to_long(args.indices)), offsets(read_offsets(table.op, args, bags)) {
    if (args.weights) weights = args.weights->contiguous();
    const int64_t rows = table.weight.size(0);
    check_indices(table.op, indices.const_data_ptr<int64_t>(), indices.numel(), rows);
    if (args.padding_idx) leave_out(*args.padding_idx + (*args.padding_idx < 0 ? rows : 0));
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

at::Tensor run_bags(const TableArgs<int64_t>& args, const BagArgs& bag_args,
                    embedding::BagsFn& run) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const int64_t dim = args.check(at::kCPU);
  const int64_t count = check_bags(args, bag_args, at::kCPU);
  const Entries entries(args, bag_args, count);
  const at::Tensor weight = args.weight.contiguous();
  const embedding::Table table{weight.const_data_ptr<uint8_t>(), dim};
  const at::Tensor y = empty({count, dim}, at::kFloat);
  if (y.numel() == 0) return y;
  embedding::Bags bags{
      .indices = entries.indices.const_data_ptr<int64_t>(),
      .weights = entries.weights.defined() ? entries.weights.const_data_ptr<float>() : nullptr,
      .offsets = entries.offsets.const_data_ptr<int64_t>(),
      .count = count,
      .mode = static_cast<embedding::Mode>(bag_args.mode)};
  float* to = y.mutable_data_ptr<float>();
  const int64_t work = dim * (1 + bags.offsets[count] / count);
  run_parts(count, work, kBagGrain, [&](int64_t begin, int64_t end) {
    embedding::Bags part = bags;
    part.offsets += begin;
    part.count = end - begin;
    run(table, part, to + begin * dim);
  });
  return y;
}

at::Tensor bags_meta(const TableArgs<c10::SymInt>& args, const BagArgs& bag_args) {
  const c10::SymInt dim = args.check(at::kMeta);
  return at::empty_symint({check_bags(args, bag_args, at::kMeta), dim},
                          args.weight.options().dtype(at::kFloat));
}

at::Tensor embedding_bag_8bit_meta(const at::Tensor& weight, const at::Tensor& indices,
                                   const std::optional<at::Tensor>& offsets, int64_t mode,
                                   const std::optional<at::Tensor>& per_sample_weights,
                                   bool include_last_offset, std::optional<int64_t> padding_idx) {
  return bags_meta({"embedding_bag_8bit", weight, {}},
                   {indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx});
}

at::Tensor embedding_bag_4bit_meta(const at::Tensor& weight, c10::SymInt embedding_dim,
                                   const at::Tensor& indices,
                                   const std::optional<at::Tensor>& offsets, int64_t mode,
                                   const std::optional<at::Tensor>& per_sample_weights,
                                   bool include_last_offset, std::optional<int64_t> padding_idx) {
  return bags_meta({"embedding_bag_4bit", weight, embedding_dim},
                   {indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx});
}

}  // namespace

at::Tensor embedding_bag_8bit(const at::Tensor& weight, const at::Tensor& indices,
                              const std::optional<at::Tensor>& offsets, int64_t mode,
                              const std::optional<at::Tensor>& per_sample_weights,
                              bool include_last_offset, std::optional<int64_t> padding_idx) {
  static auto& run = select(embedding::bags_8bit_kernels());
  return run_bags({"embedding_bag_8bit", weight, {}},
                  {indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx},
                  run);
}

at::Tensor embedding_bag_4bit(const at::Tensor& weight, int64_t embedding_dim,
                              const at::Tensor& indices, const std::optional<at::Tensor>& offsets,
                              int64_t mode, const std::optional<at::Tensor>& per_sample_weights,
                              bool include_last_offset, std::optional<int64_t> padding_idx) {
  static auto& run = select(embedding::bags_4bit_kernels());
  return run_bags({"embedding_bag_4bit", weight, embedding_dim},
                  {indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx},
                  run);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("embedding_bag_8bit", TORCH_FN(embedding_bag_8bit));
  m.impl("embedding_bag_4bit", TORCH_FN(embedding_bag_4bit));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("embedding_bag_8bit", TORCH_FN(embedding_bag_8bit_meta));
  m.impl("embedding_bag_4bit", TORCH_FN(embedding_bag_4bit_meta));
}

}  // namespace qnative::ops
