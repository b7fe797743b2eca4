#include <torch/library.h>

#include <algorithm>

#include "common/activation.h"
#include "common/borrow.h"
#include "common/checks.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "product/channel_params.h"
#include "product/planned.h"
#include "product/quantized_rows.h"
#include "product/rows.h"
#include "product/weight.h"
#include "qnative/ops/linear.h"

namespace qnative::ops {
namespace {

constexpr const char* kOp = "linear_dynamic";
constexpr int64_t kTaskRows = 32;                 // at least, where a task reads all weights
constexpr int64_t kBlockBytes = 4 * 1024 * 1024;  // bytes of quantized rows at a time

// All that constants and shapes determine, checked.
template <class Int>
struct DynamicPlan {
  WeightLayout layout;
  OutputSpec output;
  int64_t k;  // values of a row of x, without repeated ones
  c10::SmallVector<Int, at::kDimVectorStaticSize> y_sizes;
};

template <class Int>
DynamicPlan<Int> plan_dynamic(const at::Tensor& x, const PackedWeight& w,
                              const Activation& activation, at::IntArrayRef repeated,
                              at::DeviceType device) {
  const WeightLayout layout = linear_layout(kOp, w.shape);
  check_tensor(kOp, "x", x, device);
  check_dtype(kOp, "x", x, at::kFloat);
  const int64_t k = layout.segment_size - static_cast<int64_t>(repeated.size());
  TORCH_CHECK(k >= 1, "qnative::", kOp, ": weight_shape has ", layout.segment_size,
              " columns, repeated must be fewer, got ", repeated.size());
  for (const int64_t source : repeated) {
    TORCH_CHECK(source >= 0 && source < k, "qnative::", kOp, ": repeated must be in [0, ", k,
                "), got ", source);
  }
  auto y_sizes = linear_sizes<Int>(kOp, x, layout.n, k);
  check_packed(kOp, w.data, layout, device);
  check_channels(kOp, w.scale, w.bias, Int(layout.n), device);
  check_activation(kOp, activation, Functions::kAllowed);
  return {layout, {.dtype = at::kFloat, .activation = activation}, k, std::move(y_sizes)};
}

at::Tensor linear_dynamic_meta(const at::Tensor& x, const PackedWeight& w,
                               const Activation& activation, at::IntArrayRef repeated) {
  const auto plan = plan_dynamic<c10::SymInt>(x, w, activation, repeated, at::kMeta);
  return at::empty_symint(plan.y_sizes, x.options());
}

// These rows of x, quantized to `rows` and multiplied. product: from row 0 on.
void multiply_rows(const QuantizedRows& rows, const float* x, int64_t k, const Part& part,
                   gemm::Args product) {
  run_parts(part.end - part.begin, k, kQuantizeGrain, [&](int64_t from, int64_t to) {
    for (int64_t i = part.begin + from; i < part.begin + to; ++i) rows.quantize(x + i * k, k, i);
  });
  rows.describe(product, part.begin);
  product.y = static_cast<float*>(product.y) + part.begin * product.n;
  run_rows({.data = rows.q + part.begin * rows.stride,
            .m = part.end - part.begin,
            .k = rows.stride,
            .row_stride = rows.stride,
            .k_stride = 1,
            .flip = 0},
           product);
}

at::Tensor run_dynamic(const DynamicPlan<int64_t>& plan, const at::Tensor& x, const PackedWeight& w,
                       at::IntArrayRef repeated, const ChannelParams& params) {
  const WeightLayout& layout = plan.layout;
  const auto repeats = static_cast<int64_t>(repeated.size());
  const int64_t k = plan.k, n = layout.padded_n(), m = x.numel() / k;
  const int64_t block = std::min(m, std::max<int64_t>(kBlockBytes / layout.segment_size, 1));
  Scratch scratch(Scratch::bytes<int32_t>(n) + QuantizedRows::scratch_bytes(block, k, repeats));
  at::Tensor y = empty(plan.y_sizes, at::kFloat);
  if (y.numel() == 0) return y;
  auto* const start = scratch.take<int32_t>(n);
  std::fill_n(start, n, 0);
  const QuantizedRows rows(block, k, repeated, scratch);
  const auto dense = x.expect_contiguous();
  const float* const data = dense->const_data_ptr<float>();
  gemm::Args product = make_product(w, layout, params, plan.output, y);
  product.start = start;
  product.column_factor = params.start;
  product.y = y.mutable_data_ptr<float>();
  for (int64_t begin = 0; begin < m; begin += block) {
    const int64_t count = std::min(block, m - begin);
    // Tasks with enough rows to read the weights for do both steps and meet once, not twice.
    int64_t tasks = count_tasks(count * k * layout.n, kProductGrain);
    if (count < kTaskRows * tasks) tasks = 1;
    run_tasks(tasks, [&](int64_t task) {
      const Part part = part_of(count, tasks, task);
      multiply_rows(rows, data + begin * k, k, part, product);
    });
    product.y = static_cast<float*>(product.y) + count * layout.n;
  }
  return y;
}

struct DynamicConstants {
  QParams x;  // of no use
  PackedWeight w;
  Activation activation;
  IntList repeated;
};

struct DynamicLayer {
  using Owned = DynamicConstants;
  using Plan = DynamicPlan<int64_t>;

  explicit DynamicLayer(const DynamicConstants& c) : DynamicLayer(c.w, c.activation, c.repeated) {}
  DynamicLayer(const PackedWeight& its_w, const Activation& its_activation,
               at::IntArrayRef its_repeated)
      : w(its_w), activation(its_activation), repeated(its_repeated) {}

  Plan plan(const QTensor& x) const {
    return plan_dynamic<int64_t>(x.data, w, activation, repeated, at::kCPU);
  }
  // With the zero point -1 the sums of the columns, which the zero points of the rows multiply.
  ChannelParams params(const Plan& plan, const QTensor& /*x*/, Scratch& scratch) const {
    return make_channel_params(kOp, {.scale = 1, .zero_point = -1}, w, plan.layout, plan.output,
                               scratch);
  }
  static Work work(const Plan& plan, const QTensor& x) {
    return {"gemm", 2.0 * static_cast<double>(x.data.numel() * plan.layout.n)};
  }
  at::Tensor run(const Plan& plan, const QTensor& x, const ChannelParams& params) const {
    return run_dynamic(plan, x.data, w, repeated, params);
  }

  const PackedWeight& w;
  const Activation& activation;
  at::IntArrayRef repeated;
};

}  // namespace

at::Tensor linear_dynamic(const at::Tensor& x, const PackedWeight& w, const Activation& activation,
                          at::IntArrayRef repeated) {
  return run_layer(DynamicLayer(w, activation, repeated), BorrowedQTensor(x, {}));
}

std::unique_ptr<PlannedOp> plan_linear_dynamic_op(Arguments& arguments) {
  arguments.operand();
  DynamicConstants constants;
  constants.w = arguments.weight();
  constants.activation = arguments.activation(kOp, Functions::kAllowed);
  constants.repeated = arguments.optional_ints().value_or(IntList());
  return make_planned(LayerOp<DynamicLayer>(std::move(constants)), arguments);
}

namespace {

// The op of the schema. AOTInductor cannot pass a list of no integers: none at all stands for it.
template <auto kRun, class Ints>
at::Tensor linear_dynamic_op(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                             Ints weight_shape, std::string_view activation,
                             at::ArrayRef<double> activation_args,
                             at::OptionalIntArrayRef repeated) {
  return kRun(x, BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              parse_activation(kOp, activation, activation_args, Functions::kAllowed),
              repeated.value_or(at::IntArrayRef()));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_dynamic", TORCH_FN((linear_dynamic_op<linear_dynamic, at::IntArrayRef>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_dynamic", TORCH_FN((linear_dynamic_op<linear_dynamic_meta, c10::SymIntArrayRef>)));
}

}  // namespace qnative::ops
