#include "embedding_table.h"

#include <algorithm>
#include <atomic>

#include "checks.h"
#include "parallel.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 64 * 1024;  // indices a task

template <class Int>
void check_rows(const char* op, const char* name, const at::Tensor& tensor, const Int& rows,
                at::DeviceType device) {
  check_tensor(op, name, tensor, device);
  check_dtype(op, name, tensor, at::kFloat);
  TORCH_CHECK(tensor.dim() == 1 && at::symint::size<Int>(tensor, 0) == rows, "qnative::", op, ": ",
              name, " must have shape [", rows, "] (one value a row), got ",
              at::symint::sizes<Int>(tensor));
}

}  // namespace

template <class Int>
Int TableArgs<Int>::check(at::DeviceType device) const {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kByte);
  TORCH_CHECK(weight.dim() == 2, "qnative::", op, ": weight must have 2 dimensions, got ",
              at::symint::sizes<Int>(weight));
  const Int rows = at::symint::size<Int>(weight, 0), row_bytes = at::symint::size<Int>(weight, 1);
  check_rows(op, "weight_scale", scale, rows, device);
  check_rows(op, "weight_bias", bias, rows, device);
  if (!embedding_dim) return row_bytes;
  TORCH_CHECK(*embedding_dim >= 0 && *embedding_dim / 2 + *embedding_dim % 2 == row_bytes,
              "qnative::", op, ": weight must be [rows, (embedding_dim + 1) / 2], got ",
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
  const auto is_wrong = [rows](int64_t index) {
    return static_cast<uint64_t>(index) >= static_cast<uint64_t>(rows);
  };
  std::atomic<bool> found = false;
  run_parts(n, 1, kGrain, [&](int64_t begin, int64_t end) {
    bool wrong = false;
    for (int64_t i = begin; i < end; ++i) wrong |= is_wrong(indices[i]);
    if (wrong) found = true;
  });
  TORCH_CHECK(!found, "qnative::", op, ": indices must be in [0, ", rows, "), the rows, got ",
              *std::find_if(indices, indices + n, is_wrong));
}

Table::Table(const TableArgs<int64_t>& args, int64_t dim)
    : weight_(args.weight.contiguous()),
      scale_(args.scale.contiguous()),
      bias_(args.bias.contiguous()),
      view_{.data = weight_.const_data_ptr<uint8_t>(),
            .row_bytes = weight_.size(1),
            .scale = scale_.const_data_ptr<float>(),
            .bias = bias_.const_data_ptr<float>(),
            .dim = dim} {}

}  // namespace qnative::ops
