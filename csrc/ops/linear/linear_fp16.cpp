#include <torch/library.h>

#include <algorithm>

#include "blocks.h"
#include "common/activation.h"
#include "common/borrow.h"
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

// linear_fp16 or linear_dynamic_fp16; x and y are of `dtype`.
struct HalfOp {
  const char* op;
  at::ScalarType dtype;
};
constexpr HalfOp kFp16{"linear_fp16", at::kHalf};
constexpr HalfOp kDynamicFp16{"linear_dynamic_fp16", at::kFloat};

// All that constants and shapes determine, checked.
template <class Int>
struct HalfPlan {
  Shape shape;
  c10::SmallVector<Int, at::kDimVectorStaticSize> y_sizes;
};

template <class Int>
HalfPlan<Int> plan_half(const HalfOp& kind, const at::Tensor& x, const PackedWeight& w,
                        const Activation& activation, at::DeviceType device) {
  const Shape shape = check_shape(kind.op, w.shape);
  check_tensor(kind.op, "x", x, device);
  check_dtype(kind.op, "x", x, kind.dtype);
  auto y_sizes = linear_sizes<Int>(kind.op, x, shape.n, shape.k);
  check_packed_half(kind.op, w.data, shape, device);
  TORCH_CHECK(!w.scale.defined(), "qnative::", kind.op, ": a float16 weight has no scale, got ",
              w.scale.sym_sizes());
  check_bias(kind.op, w.bias, Int(shape.n), device);
  check_activation(kind.op, activation, Functions::kAllowed);
  return {shape, std::move(y_sizes)};
}

template <const HalfOp& kHalfOp>
at::Tensor half_meta(const at::Tensor& x, const PackedWeight& w, const Activation& activation) {
  const auto plan = plan_half<c10::SymInt>(kHalfOp, x, w, activation, at::kMeta);
  return at::empty_symint(plan.y_sizes, x.options());
}

template <const HalfOp& kHalfOp>
at::Tensor run_half(const at::Tensor& x, const PackedWeight& w, const Activation& activation) {
  static auto& widen = select(gemm_fp16::widen_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto [shape, y_sizes] = plan_half<int64_t>(kHalfOp, x, w, activation, at::kCPU);
  at::Tensor y = empty(y_sizes, kHalfOp.dtype);
  if (y.numel() == 0) return y;
  constexpr bool is_half = kHalfOp.dtype == at::kHalf;
  const int64_t n = shape.n, k = shape.k, m = x.numel() / k;
  const int64_t block = is_half ? std::min(m, std::max<int64_t>(kBlockFloats / k, 1)) : m;
  Scratch scratch(Scratch::bytes<float>(shape.padded_n()) +
                  (is_half ? Scratch::bytes<float>(block * k) : 0));
  auto* const biases = scratch.take<float>(shape.padded_n());
  std::fill_n(biases, shape.padded_n(), 0.0f);
  if (w.bias) {
    const auto dense = w.bias->expect_contiguous();
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
                 .weight = static_cast<const uint16_t*>(w.data.const_data_ptr()),
                 .bias = biases,
                 .n = n,
                 .y = y_data + begin * n * static_cast<int64_t>(y.element_size()),
                 .y_stride = n,
                 .half_output = is_half,
                 .activation = activation.function,
                 .lo = static_cast<float>(activation.min),
                 .hi = static_cast<float>(activation.max)},
                rows);
  }
  return y;
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

at::Tensor linear_fp16(const at::Tensor& x, const PackedWeight& w, const Activation& activation) {
  return run_half<kFp16>(x, w, activation);
}

at::Tensor linear_dynamic_fp16(const at::Tensor& x, const PackedWeight& w,
                               const Activation& activation) {
  return run_half<kDynamicFp16>(x, w, activation);
}

at::Tensor linear_fp16_pack(const at::Tensor& weight) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_weight(weight, at::kCPU);
  const Shape shape = check_shape("linear_fp16_pack", weight.sizes());
  constexpr double kMaxHalf = 65504;
  const at::Tensor half = weight.scalar_type() == at::kHalf
                              ? weight.contiguous()
                              : weight.clamp(-kMaxHalf, kMaxHalf).to(at::kHalf).contiguous();
  at::Tensor packed = empty({gemm_fp16::packed_size(shape.n, shape.k)}, at::kHalf);
  gemm_fp16::pack(static_cast<const uint16_t*>(half.const_data_ptr()), shape.n, shape.k, shape.k, 1,
                  static_cast<uint16_t*>(packed.mutable_data_ptr()));
  return packed;
}

at::Tensor linear_fp16_unpack(const at::Tensor& weight, at::IntArrayRef sizes) {
  const Shape shape = check_shape("linear_fp16_unpack", sizes);
  check_packed_half("linear_fp16_unpack", weight, shape, at::kCPU);
  at::Tensor unpacked = empty(sizes, at::kHalf);
  gemm_fp16::unpack(static_cast<const uint16_t*>(weight.const_data_ptr()), shape.n, shape.k,
                    static_cast<uint16_t*>(unpacked.mutable_data_ptr()));
  return unpacked;
}

namespace {

// The ops of the schemas. kRun: run_half or half_meta of kHalfOp.
template <const HalfOp& kHalfOp, auto kRun, class Ints>
at::Tensor half_op(const at::Tensor& x, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias, Ints weight_shape,
                   std::string_view activation, at::ArrayRef<double> activation_args) {
  return kRun(x, BorrowedWeight(weight, at::Tensor(), bias, concrete(weight_shape)),
              parse_activation(kHalfOp.op, activation, activation_args, Functions::kAllowed));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_fp16", TORCH_FN((half_op<kFp16, run_half<kFp16>, at::IntArrayRef>)));
  m.impl("linear_dynamic_fp16",
         TORCH_FN((half_op<kDynamicFp16, run_half<kDynamicFp16>, at::IntArrayRef>)));
  m.impl("linear_fp16_pack", TORCH_FN(linear_fp16_pack));
  m.impl("linear_fp16_unpack", TORCH_FN(linear_fp16_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_fp16", TORCH_FN((half_op<kFp16, half_meta<kFp16>, c10::SymIntArrayRef>)));
  m.impl("linear_dynamic_fp16",
         TORCH_FN((half_op<kDynamicFp16, half_meta<kDynamicFp16>, c10::SymIntArrayRef>)));
  m.impl("linear_fp16_pack", TORCH_FN(pack_fp16_meta));
  m.impl("linear_fp16_unpack", TORCH_FN(unpack_fp16_meta));
}

}  // namespace qnative::ops
