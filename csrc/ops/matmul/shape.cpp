#include "matmul/shape.h"

#include <algorithm>

namespace qnative::ops {

template <class Int>
MatmulShape<Int> matmul_shape(const char* op, const at::Tensor& a, const at::Tensor& b) {
  const at::ArrayRef<Int> left = at::symint::sizes<Int>(a), right = at::symint::sizes<Int>(b);
  TORCH_CHECK(!left.empty() && !right.empty(), "qnative::", op,
              ": a and b must have dimensions, got ", left, " and ", right);
  const bool a_is_vector = left.size() == 1, b_is_vector = right.size() == 1;
  const Int k = left.back(), n = b_is_vector ? Int(1) : right.back();
  TORCH_CHECK(k == right[b_is_vector ? 0 : right.size() - 2], "qnative::", op,
              ": inner sizes differ: ", left, " and ", right);
  const at::ArrayRef<Int> shapes[] = {left.slice(0, left.size() - (a_is_vector ? 1 : 2)),
                                      right.slice(0, right.size() - (b_is_vector ? 1 : 2))};
  MatmulShape<Int> shape;
  shape.batch = broadcast_shapes<Int>(op, shapes);
  shape.m = a_is_vector ? Int(1) : left[left.size() - 2];
  shape.n = n;
  shape.k = k;
  shape.y = shape.batch;
  if (!a_is_vector) shape.y.push_back(shape.m);
  if (!b_is_vector) shape.y.push_back(n);
  return shape;
}

Matrices::Matrices(const at::Tensor& tensor, at::IntArrayRef batch, bool is_left) {
  const at::IntArrayRef sizes = tensor.sizes(), strides = tensor.strides();
  const size_t rank = sizes.size();
  const bool is_vector = rank == 1;
  row_stride = is_vector ? (is_left ? 0 : strides[0]) : strides[rank - 2];
  column_stride = is_vector ? (is_left ? strides[0] : 0) : strides[rank - 1];
  const int64_t own = static_cast<int64_t>(rank) - (is_vector ? 1 : 2);
  offsets.assign(1, 0);
  for (size_t i = 0; i < batch.size(); ++i) {
    const int64_t dim = own - static_cast<int64_t>(batch.size() - i);
    const int64_t stride = dim < 0 || sizes[dim] == 1 ? 0 : strides[dim];
    std::vector<int64_t> outer = std::move(offsets);
    offsets.clear();
    offsets.reserve(outer.size() * batch[i]);
    for (int64_t offset : outer) {
      for (int64_t j = 0; j < batch[i]; ++j) offsets.push_back(offset + j * stride);
    }
  }
}

int64_t merge_rows(const at::Tensor& tensor, int64_t m, int64_t k, Matrices& a, Matrices& b) {
  const auto count = static_cast<int64_t>(a.offsets.size());
  const bool one_right =
      std::all_of(b.offsets.begin(), b.offsets.end(), [](int64_t offset) { return offset == 0; });
  if (!tensor.is_contiguous() || !one_right || tensor.numel() != count * m * k) return m;
  a.row_stride = k;
  a.offsets.assign(1, 0);
  b.offsets.assign(1, 0);
  return count * m;
}

template MatmulShape<int64_t> matmul_shape(const char*, const at::Tensor&, const at::Tensor&);
template MatmulShape<c10::SymInt> matmul_shape(const char*, const at::Tensor&, const at::Tensor&);

}  // namespace qnative::ops
