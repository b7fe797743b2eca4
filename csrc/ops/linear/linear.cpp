#include "qnative/ops/linear.h"

#include <torch/library.h>

#include "common/borrow.h"
#include "common/checks.h"
#include "common/empty.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/channel_params.h"
#include "product/planned.h"
#include "product/rows.h"
#include "product/weight.h"

namespace qnative::ops {
namespace {

// All that constants and shapes determine, checked.
template <class Int>
struct LinearPlan {
  WeightLayout layout;
  OutputSpec output;
  c10::SmallVector<Int, at::kDimVectorStaticSize> y_sizes;
};

template <class Int>
LinearPlan<Int> plan_linear(const QTensor& x, const PackedWeight& w, const OutputSpec& y,
                            at::DeviceType device) {
  const WeightLayout layout = linear_layout("linear", w.shape);
  check_qtensor("linear", "x", x, device);
  auto y_sizes = check_linear_operands<Int>("linear", x.data, w, layout, device);
  check_output("linear", y, FloatOutput::kAllowed, Words::kAllowed);
  return {layout, y, std::move(y_sizes)};
}

at::Tensor run_linear(const LinearPlan<int64_t>& plan, const QTensor& x, const PackedWeight& w,
                      const ChannelParams& params) {
  const WeightLayout& layout = plan.layout;
  at::Tensor y = empty(plan.y_sizes, plan.output.dtype);
  if (y.numel() == 0) return y;
  const auto rows = x.data.expect_contiguous();
  const int64_t k = layout.segment_size, m = rows->numel() / k;
  run_rows({.data = static_cast<const uint8_t*>(rows->const_data_ptr()),
            .m = m,
            .k = k,
            .row_stride = k,
            .k_stride = 1,
            .flip = flip_of(x.data.scalar_type())},
           make_product(w, layout, params, plan.output, y));
  return y;
}

struct LinearConstants {
  QParams x;
  PackedWeight w;
  OutputSpec y;
};

struct LinearLayer {
  using Owned = LinearConstants;
  using Plan = LinearPlan<int64_t>;

  explicit LinearLayer(const LinearConstants& constants) : w(constants.w), y(constants.y) {}
  LinearLayer(const PackedWeight& its_w, const OutputSpec& its_y) : w(its_w), y(its_y) {}

  ChannelParams params(const Plan& plan, const QTensor& x, Scratch& scratch) const {
    return make_channel_params("linear", unsigned_qparams(x), w, plan.layout, y, scratch);
  }
  Plan plan(const QTensor& x) const { return plan_linear<int64_t>(x, w, y, at::kCPU); }
  static Work work(const Plan& plan, const QTensor& x) {
    return {"gemm", 2.0 * static_cast<double>(x.data.numel() * plan.layout.n)};
  }
  at::Tensor run(const Plan& plan, const QTensor& x, const ChannelParams& params) const {
    return run_linear(plan, x, w, params);
  }

  const PackedWeight& w;
  const OutputSpec& y;
};

QTensor linear_meta(const QTensor& x, const PackedWeight& w, const OutputSpec& y) {
  const auto plan = plan_linear<c10::SymInt>(x, w, y, at::kMeta);
  return {at::empty_symint(plan.y_sizes, x.data.options().dtype(y.dtype)), output_qparams(y)};
}

at::Tensor pack_meta(const at::Tensor& weight) {
  check_unpacked("linear_pack", weight, "[N, K]", 2, at::kMeta);
  const WeightLayout layout = linear_layout("linear_pack", concrete(weight.sym_sizes()));
  return at::empty({layout.groups * layout.group_bytes()}, weight.options());
}

at::Tensor unpack_meta(const at::Tensor& weight, c10::SymIntArrayRef weight_shape) {
  const at::DimVector shape = concrete(weight_shape);
  check_packed("linear_unpack", weight, linear_layout("linear_unpack", shape), at::kMeta);
  return at::empty(shape, weight.options());
}

}  // namespace

QTensor linear(const QTensor& x, const PackedWeight& w, const OutputSpec& y) {
  return {run_layer(LinearLayer(w, y), x), output_qparams(y)};
}

std::unique_ptr<PlannedOp> plan_linear_op(Arguments& arguments) {
  arguments.operand();
  const QParams x = arguments.qparams();
  PackedWeight w = arguments.weight();
  const OutputSpec y = arguments.activated_output("linear");
  return make_planned(LayerOp<LinearLayer>(LinearConstants{x, std::move(w), y}), arguments);
}

at::Tensor linear_pack(const at::Tensor& weight) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_unpacked("linear_pack", weight, "[N, K]", 2, at::kCPU);
  const WeightLayout layout = linear_layout("linear_pack", weight.sizes());
  at::Tensor packed = empty({layout.group_bytes()}, at::kChar);
  gemm::pack(weight.contiguous().const_data_ptr<int8_t>(), layout.n, 1, layout.segment_size,
             packed.mutable_data_ptr<int8_t>());
  return packed;
}

at::Tensor linear_unpack(const at::Tensor& weight, at::IntArrayRef weight_shape) {
  const WeightLayout layout = linear_layout("linear_unpack", weight_shape);
  check_packed("linear_unpack", weight, layout, at::kCPU);
  at::Tensor unpacked = empty(weight_shape, at::kChar);
  gemm::unpack(weight.const_data_ptr<int8_t>(), layout.n, 1, layout.segment_size,
               unpacked.mutable_data_ptr<int8_t>());
  return unpacked;
}

namespace {

// The op of the schema. kRun: linear or linear_meta.
template <auto kRun, class Ints>
at::Tensor linear_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                     const at::Tensor& weight, const at::Tensor& weight_scale,
                     const std::optional<at::Tensor>& bias, Ints weight_shape, double y_scale,
                     int64_t y_zero_point, at::ScalarType y_dtype, std::string_view activation,
                     at::ArrayRef<double> activation_args) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}),
              BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation("linear", activation, activation_args)})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear", TORCH_FN((linear_op<linear, at::IntArrayRef>)));
  m.impl("linear_pack", TORCH_FN(linear_pack));
  m.impl("linear_unpack", TORCH_FN(linear_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear", TORCH_FN((linear_op<linear_meta, c10::SymIntArrayRef>)));
  m.impl("linear_pack", TORCH_FN(pack_meta));
  m.impl("linear_unpack", TORCH_FN(unpack_meta));
}

}  // namespace qnative::ops
