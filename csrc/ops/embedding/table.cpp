#include "embedding/table.h"

#include <algorithm>
#include <atomic>

#include "common/checks.h"
#include "common/parallel.h"
#include "embedding/embedding.h"

namespace qnative::ops {
namespace {

constexpr int64_t kIndexGrain = 64 * 1024;  // indices a task

}  // namespace

template <class Int>
Int check_table(const TableOp& op, const BasicEmbeddingTable<Int>& table, at::DeviceType device) {
  const at::Tensor& weight = table.packed;
  check_tensor(op.op, "weight", weight, device);
  check_dtype(op.op, "weight", weight, at::kByte);
  TORCH_CHECK(weight.dim() == 2, "qnative::", op.op, ": weight must have 2 dimensions, got ",
              at::symint::sizes<Int>(weight));
  TORCH_CHECK(table.embedding_dim.has_value() == (op.bits == 4), "qnative::", op.op,
              ": embedding_dim is for tables of 4 bits, and must be there for them");
  const Int bytes = at::symint::size<Int>(weight, 1) - embedding::kParamBytes;
  if (op.bits == 8) {
    TORCH_CHECK(bytes >= 0, "qnative::", op.op, ": weight must be [rows, D + 8], got ",
                at::symint::sizes<Int>(weight));
    return bytes;
  }
  const Int& dim = *table.embedding_dim;
  TORCH_CHECK(dim >= 0 && dim / 2 + dim % 2 == bytes, "qnative::", op.op,
              ": weight must be [rows, (embedding_dim + 1) / 2 + 8], got ",
              at::symint::sizes<Int>(weight), " and embedding_dim ", dim);
  return dim;
}
template int64_t check_table(const TableOp&, const EmbeddingTable&, at::DeviceType);
template c10::SymInt check_table(const TableOp&, const BasicEmbeddingTable<c10::SymInt>&,
                                 at::DeviceType);

void check_integers(const char* op, const char* name, const at::Tensor& tensor,
                    at::DeviceType device) {
  check_tensor(op, name, tensor, device);
  TORCH_CHECK(tensor.scalar_type() == at::kInt || tensor.scalar_type() == at::kLong,
              "qnative::", op, ": ", name, " must be Int or Long, got ", tensor.scalar_type());
}

at::Tensor to_long(const at::Tensor& integers) { return integers.to(at::kLong).contiguous(); }

void check_indices(const char* op, const int64_t* indices, int64_t n, int64_t rows) {
  const auto limit = static_cast<uint64_t>(rows) - 1;
  std::atomic<bool> found = rows == 0 && n > 0;
  run_parts(n, 1, kIndexGrain, [&](int64_t begin, int64_t end) {
    // The sign bit of one of the two is set when the index is too small or too large. Comparisons
    // of 64 bits would not be vectorized.
    uint64_t wrong = 0;
    for (int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<uint64_t>(indices[i]);
      wrong |= index | (limit - index);
    }
    if (wrong >> 63) found = true;
  });
  TORCH_CHECK(!found, "qnative::", op, ": indices must be in [0, ", rows, "), the rows, got ",
              *std::find_if(indices, indices + n,
                            [rows](int64_t index) { return index < 0 || index >= rows; }));
}

}  // namespace qnative::ops
