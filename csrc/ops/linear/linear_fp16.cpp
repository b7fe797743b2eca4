#include <torch/library.h>

#include <algorithm>

#include "blocks.h"
#include "common/activation.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "gemm_fp16/gemm_fp16.h"
#include "product/half_product.h"
#include "product/weight.h"
#include "qnative/ops/linear.h"

namespace qnative::ops {
namespace {

constexpr int64_t kWidenGrain = 64 * 1024;     // halves a task
constexpr int64_t kBlockFloats = 1024 * 1024;  // floats of widened rows at a time

struct Shape {
  int64_t n, k;
  int64_t padded_n() const { return round_up(n, kPanelColumns); }
};

Shape check_shape(const char* op, at::IntArrayRef weight_shape) {
  constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();
  TORCH_CHECK(weight_shape.size() == 2 && weight_shape[0] >= 1 && weight_shape[1] >= 1 &&
                  weight_shape[0] <= kMaxSize && weight_shape[1] <= kMaxSize,
              "qnative::", op, ": weight_shape must be [N, K], each in [1, 2^31), got ",
              weight_shape);
  return {weight_shape[0], weight_shape[1]};
}

void check_packed_half(const char* op, const at::Tensor& weight, const Shape& shape,
                       at::DeviceType device) {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kHalf);
  // Below 2^62, as both factors are below 2^31.
  const int64_t size = gemm_fp16::packed_size(shape.n, shape.k);
  TORCH_CHECK(weight.dim() == 1 && weight.sym_size(0) == size && weight.is_contiguous(),
              "qnative::", op, ": weight must be a packed weight of ", size,
              " contiguous elements to fit weight_shape, got shape ", weight.sym_sizes(),
              " and strides ", weight.sym_strides());
}

void check_weight(const at::Tensor& weight, at::DeviceType device) {
  constexpr const char* kOp = "linear_fp16_pack";
  check_tensor(kOp, "weight", weight, device);
  TORCH_CHECK(weight.scalar_type() == at::kHalf || weight.scalar_type() == at::kFloat,
              "qnative::", kOp, ": weight must be Half or Float, got ", weight.scalar_type());
  TORCH_CHECK(weight.dim() == 2, "qnative::", kOp, ": weight must be [N, K], got ",
              weight.sym_sizes());
}

// x and y are of `dtype`; returns the shape of y.
template <class Int>
auto check(const char* op, const at::Tensor& x, at::ScalarType dtype, const at::Tensor& weight,
           const std::optional<at::Tensor>& bias, const Shape& shape, at::DeviceType device) {
  check_tensor(op, "x", x, device);
  check_dtype(op, "x", x, dtype);
  auto y_sizes = linear_sizes<Int>(op, x, shape.n, shape.k);
  check_packed_half(op, weight, shape, device);
  check_bias(op, bias, Int(shape.n), device);
  return y_sizes;
}

at::Tensor run_meta(const char* op, at::ScalarType dtype, const at::Tensor& x,
                    const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                    c10::SymIntArrayRef weight_shape, std::string_view activation,
                    at::ArrayRef<double> activation_args) {
  const Shape shape = check_shape(op, concrete(weight_shape));
  const auto y_sizes = check<c10::SymInt>(op, x, dtype, weight, bias, shape, at::kMeta);
  check_activation(op, parse_activation(op, activation, activation_args, Functions::kAllowed),
                   Functions::kAllowed);
  return at::empty_symint(y_sizes, x.options());
}

at::Tensor run(const char* op, at::ScalarType dtype, const at::Tensor& x, const at::Tensor& weight,
               const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
               std::string_view activation, at::ArrayRef<double> activation_args) {
  static auto& widen = select(gemm_fp16::widen_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Shape shape = check_shape(op, weight_shape);
  const auto y_sizes = check<int64_t>(op, x, dtype, weight, bias, shape, at::kCPU);
  const Activation act =
      check_activation(op, parse_activation(op, activation, activation_args, Functions::kAllowed),
                       Functions::kAllowed);
  at::Tensor y = empty(y_sizes, dtype);
  if (y.numel() == 0) return y;
  const bool is_half = dtype == at::kHalf;
  const int64_t n = shape.n, k = shape.k, m = x.numel() / k;
  const int64_t block = is_half ? std::min(m, std::max<int64_t>(kBlockFloats / k, 1)) : m;
  Scratch scratch(Scratch::bytes<float>(shape.padded_n()) +
                  (is_half ? Scratch::bytes<float>(block * k) : 0));
  auto* const biases = scratch.take<float>(shape.padded_n());
  std::fill_n(biases, shape.padded_n(), 0.0f);
  if (bias) {
    const auto dense = bias->expect_contiguous();
    std::copy_n(dense->const_data_ptr<float>(), n, biases);
  }
  float* const wide = is_half ? scratch.take<float>(block * k) : nullptr;
  const auto dense = x.expect_contiguous();
  auto* const y_data = static_cast<std::byte*>(y.mutable_data_ptr());
  for (int64_t begin = 0; begin < m; begin += block) {
    const int64_t rows = std::min(block, m - begin);
    if (is_half) {
      const auto* half = static_cast<const uint16_t*>(dense->const_data_ptr()) + begin * k;
      run_parts(rows * k, 1, kWidenGrain, [&](int64_t first, int64_t last) {
        widen(half + first, wide + first, last - first);
      });
    }
    run_product({.x = is_half ? wide : dense->const_data_ptr<float>(),
                 .x_stride = k,
                 .k = k,
                 .weight = static_cast<const uint16_t*>(weight.const_data_ptr()),
                 .bias = biases,
                 .n = n,
                 .y = y_data + begin * n * static_cast<int64_t>(y.element_size()),
                 .y_stride = n,
                 .half_output = is_half,
                 .activation = act.function,
                 .lo = static_cast<float>(act.min),
                 .hi = static_cast<float>(act.max)},
                rows);
  }
  return y;
}

at::Tensor linear_fp16_meta(const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, c10::SymIntArrayRef weight_shape,
                            std::string_view activation, at::ArrayRef<double> activation_args) {
  return run_meta("linear_fp16", at::kHalf, x, weight, bias, weight_shape, activation,
                  activation_args);
}

at::Tensor linear_dynamic_fp16_meta(const at::Tensor& x, const at::Tensor& weight,
                                    const std::optional<at::Tensor>& bias,
                                    c10::SymIntArrayRef weight_shape, std::string_view activation,
                                    at::ArrayRef<double> activation_args) {
  return run_meta("linear_dynamic_fp16", at::kFloat, x, weight, bias, weight_shape, activation,
                  activation_args);
}

at::Tensor pack_fp16_meta(const at::Tensor& weight) {
  check_weight(weight, at::kMeta);
  const Shape shape = check_shape("linear_fp16_pack", concrete(weight.sym_sizes()));
  return at::empty({gemm_fp16::packed_size(shape.n, shape.k)}, weight.options().dtype(at::kHalf));
}

at::Tensor unpack_fp16_meta(const at::Tensor& weight, c10::SymIntArrayRef weight_shape) {
  const at::DimVector sizes = concrete(weight_shape);
  check_packed_half("linear_fp16_unpack", weight, check_shape("linear_fp16_unpack", sizes),
                    at::kMeta);
  return at::empty(sizes, weight.options());
}

}  // namespace

at::Tensor linear_fp16(const at::Tensor& x, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                       std::string_view activation, at::ArrayRef<double> activation_args) {
  return run("linear_fp16", at::kHalf, x, weight, bias, weight_shape, activation, activation_args);
}

at::Tensor linear_dynamic_fp16(const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, at::IntArrayRef weight_shape,
                               std::string_view activation, at::ArrayRef<double> activation_args) {
  return run("linear_dynamic_fp16", at::kFloat, x, weight, bias, weight_shape, activation,
             activation_args);
}

at::Tensor linear_fp16_pack(const at::Tensor& weight) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_weight(weight, at::kCPU);
  const Shape shape = check_shape("linear_fp16_pack", weight.sizes());
  constexpr double kMost = 65504;
  const at::Tensor half = weight.scalar_type() == at::kHalf
                              ? weight.contiguous()
                              : weight.clamp(-kMost, kMost).to(at::kHalf).contiguous();
  at::Tensor packed = empty({gemm_fp16::packed_size(shape.n, shape.k)}, at::kHalf);
  gemm_fp16::pack(static_cast<const uint16_t*>(half.const_data_ptr()), shape.n, shape.k, shape.k, 1,
                  static_cast<uint16_t*>(packed.mutable_data_ptr()));
  return packed;
}

at::Tensor linear_fp16_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape) {
  const Shape shape = check_shape("linear_fp16_unpack", weight_shape);
  check_packed_half("linear_fp16_unpack", weight, shape, at::kCPU);
  at::Tensor unpacked = empty(weight_shape, at::kHalf);
  gemm_fp16::unpack(static_cast<const uint16_t*>(weight.const_data_ptr()), shape.n, shape.k,
                    static_cast<uint16_t*>(unpacked.mutable_data_ptr()));
  return unpacked;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_fp16", TORCH_FN(linear_fp16));
  m.impl("linear_dynamic_fp16", TORCH_FN(linear_dynamic_fp16));
  m.impl("linear_fp16_pack", TORCH_FN(linear_fp16_pack));
  m.impl("linear_fp16_unpack", TORCH_FN(linear_fp16_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_fp16", TORCH_FN(linear_fp16_meta));
  m.impl("linear_dynamic_fp16", TORCH_FN(linear_dynamic_fp16_meta));
  m.impl("linear_fp16_pack", TORCH_FN(pack_fp16_meta));
  m.impl("linear_fp16_unpack", TORCH_FN(unpack_fp16_meta));
}

}  // namespace qnative::ops
