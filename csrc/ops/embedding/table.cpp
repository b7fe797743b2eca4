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
Int TableArgs<Int>::check(at::DeviceType device) const {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kByte);
  TORCH_CHECK(weight.dim() == 2, "qnative::", op, ": weight must have 2 dimensions, got ",
              at::symint::sizes<Int>(weight));
  const Int bytes = at::symint::size<Int>(weight, 1) - embedding::kParamBytes;
  if (!embedding_dim) {
    TORCH_CHECK(bytes >= 0, "qnative::", op, ": weight must be [rows, D + 8], got ",
                at::symint::sizes<Int>(weight));
    return bytes;
  }
  TORCH_CHECK(*embedding_dim >= 0 && *embedding_dim / 2 + *embedding_dim % 2 == bytes,
              "qnative::", op, ": weight must be [rows, (embedding_dim + 1) / 2 + 8], got ",
              at::symint::sizes<Int>(weight), " and embedding_dim ", *embedding_dim);
  return *embedding_dim;
}
template struct TableArgs<int64_t>;
template struct TableArgs<c10::SymInt>;

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
