#include "product/weight.h"

#include <limits>

#include "common/checks.h"
#include "gemm/gemm.h"
#include "qnative/limits.h"

namespace qnative::ops {

void check_weight_shape(const char* op, at::IntArrayRef weight_shape, int64_t rank,
                        const char* form) {
  bool valid = static_cast<int64_t>(weight_shape.size()) == rank;
  for (const int64_t size : weight_shape) {
    valid &= size >= 1 && size <= std::numeric_limits<int32_t>::max();
  }
  TORCH_CHECK(valid, "qnative::", op, ": weight_shape must be ", form, ", each in [1, 2^31), got ",
              weight_shape);
}

void check_products(const char* op, at::IntArrayRef weight_shape, double products) {
  TORCH_CHECK(products <= kMaxProductsU8S8, "qnative::", op, ": at most ", kMaxProductsU8S8,
              " products can be summed in int32, got weight_shape ", weight_shape);
}

int64_t WeightLayout::group_bytes() const { return gemm::packed_size(n, segments, segment_size); }
int64_t WeightLayout::panel_bytes() const { return gemm::panels_size(n, segments, segment_size); }

WeightLayout linear_layout(const char* op, at::IntArrayRef weight_shape) {
  check_weight_shape(op, weight_shape, 2, "[N, K]");
  check_products(op, weight_shape, static_cast<double>(weight_shape[1]));
  return {.groups = 1, .n = weight_shape[0], .segments = 1, .segment_size = weight_shape[1]};
}

void check_packed(const char* op, const at::Tensor& weight, const WeightLayout& layout,
                  at::DeviceType device) {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kChar);
  const int64_t bytes = layout.groups * layout.group_bytes();
  TORCH_CHECK(weight.dim() == 1 && weight.sym_size(0) == bytes && weight.is_contiguous(),
              "qnative::", op, ": weight must be a packed weight of ", bytes,
              " contiguous bytes to fit weight_shape, got shape ", weight.sym_sizes(),
              " and strides ", weight.sym_strides());
}

void check_unpacked(const char* op, const at::Tensor& weight, const char* form, int64_t rank,
                    at::DeviceType device) {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kChar);
  TORCH_CHECK(weight.dim() == rank, "qnative::", op, ": weight must be ", form, ", got ",
              weight.sym_sizes());
}

template <class Int>
c10::SmallVector<Int, at::kDimVectorStaticSize> linear_sizes(const char* op, const at::Tensor& x,
                                                             int64_t n, int64_t k) {
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  TORCH_CHECK(!sizes.empty() && sizes.back() == k, "qnative::", op, ": x must be [..., ", k,
              "] to fit weight_shape, got ", sizes);
  c10::SmallVector<Int, at::kDimVectorStaticSize> y_sizes(sizes.begin(), sizes.end());
  y_sizes.back() = Int(n);
  return y_sizes;
}

template <class Int>
c10::SmallVector<Int, at::kDimVectorStaticSize> check_linear_operands(const char* op,
                                                                      const at::Tensor& x,
                                                                      const PackedWeight& w,
                                                                      const WeightLayout& layout,
                                                                      at::DeviceType device) {
  auto y_sizes = linear_sizes<Int>(op, x, layout.n, layout.segment_size);
  check_packed(op, w.data, layout, device);
  check_channels(op, w.scale, w.bias, Int(layout.n), device);
  return y_sizes;
}

#define QNATIVE_INSTANTIATE(Int)                                                       \
  template c10::SmallVector<Int, at::kDimVectorStaticSize> linear_sizes<Int>(          \
      const char*, const at::Tensor&, int64_t, int64_t);                               \
  template c10::SmallVector<Int, at::kDimVectorStaticSize> check_linear_operands<Int>( \
      const char*, const at::Tensor&, const PackedWeight&, const WeightLayout&, at::DeviceType);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

int64_t concrete(const c10::SymInt& value) { return value.guard_int(__FILE__, __LINE__); }

at::DimVector concrete(c10::SymIntArrayRef values) {
  at::DimVector numbers;
  for (const c10::SymInt& value : values) numbers.push_back(concrete(value));
  return numbers;
}

}  // namespace qnative::ops
