#include "weight.h"

#include <limits>

#include "checks.h"
#include "gemm/gemm.h"

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
  TORCH_CHECK(products <= kMaxProducts, "qnative::", op, ": at most ", kMaxProducts,
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

at::DimVector concrete(c10::SymIntArrayRef values) {
  at::DimVector numbers;
  for (const c10::SymInt& value : values) numbers.push_back(value.guard_int(__FILE__, __LINE__));
  return numbers;
}

}  // namespace qnative::ops
