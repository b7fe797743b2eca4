#include <torch/library.h>

#include <vector>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "norm/clamp.h"
#include "norm/moments.h"
#include "norm/norm.h"
#include "qnative/ops/norm.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 16 * 1024;  // elements a task

template <class Int>
void check_weight(const char* name, const std::optional<at::Tensor>& tensor,
                  at::ArrayRef<Int> normalized_shape) {
  if (!tensor) return;
  check_tensor("layer_norm", name, *tensor, kDevice<Int>);
  check_dtype("layer_norm", name, *tensor, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(*tensor);
  TORCH_CHECK(sizes.equals(normalized_shape), "qnative::layer_norm: ", name,
              " must have the shape normalized_shape ", normalized_shape, ", got ", sizes);
}

// All that constants and shapes determine, checked.
template <class Int>
struct LayerNormPlan {
  Int n;  // elements a row
  double eps;
  OutputSpec output;
  norm::Args args;
};

template <class Int>
LayerNormPlan<Int> plan_layer_norm(const QTensor& x, at::ArrayRef<Int> normalized_shape,
                                   const NormWeights& weights, double eps, const OutputSpec& y) {
  check_qtensor("layer_norm", "x", x, kDevice<Int>);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x.data);
  const size_t rank = normalized_shape.size();
  TORCH_CHECK(rank >= 1 && rank <= sizes.size() &&
                  sizes.slice(sizes.size() - rank).equals(normalized_shape),
              "qnative::layer_norm: x must be [..., *normalized_shape], got ", sizes, " and ",
              normalized_shape);
  check_weight("weight", weights.weight, normalized_shape);
  check_weight("bias", weights.bias, normalized_shape);
  check_eps("layer_norm", eps);
  check_output("layer_norm", y, FloatOutput::kAllowed);
  Int n(1);
  for (const Int& size : normalized_shape) n *= size;
  return {.n = std::move(n),
          .eps = eps,
          .output = y,
          .args = {.x_zero_point = unsigned_zero_point(x),
                   .x_flip = flip_of(x.data.scalar_type()),
                   .requantize = y.is_float() ? Requantize{} : make_requantize(y)}};
}

// values * factor, or `otherwise` where there are none.
void scaled(const std::optional<at::Tensor>& values, float factor, float otherwise, int64_t n,
            float* to) {
  if (!values) {
    std::fill_n(to, n, otherwise);
    return;
  }
  const auto contiguous = values->expect_contiguous();
  const auto* from = contiguous->const_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) to[i] = from[i] * factor;
}

// Weight and bias in units of y, for the kernels.
struct NormTerms {
  const float* weight;
  const float* bias;
};
NormTerms make_terms(const LayerNormPlan<int64_t>& plan, const NormWeights& weights, float* weight,
                     float* bias) {
  const auto factor = static_cast<float>(1.0 / output_qparams(plan.output).scale);
  scaled(weights.weight, factor, factor, plan.n, weight);
  scaled(weights.bias, factor, 0, plan.n, bias);
  return {weight, bias};
}

at::Tensor run_layer_norm(const LayerNormPlan<int64_t>& plan, const NormTerms& terms,
                          const at::Tensor& x, double x_scale) {
  static auto& sum = select(norm::sum_kernels());
  static auto& run_bytes = select(norm::affine_kernels());
  static auto& run_floats = select(norm::affine_float_kernels());
  const at::Tensor y = empty(x.sizes(), plan.output.dtype);
  if (y.numel() == 0) return y;
  const int64_t n = plan.n;
  const auto dense = x.expect_contiguous();
  const auto* from = static_cast<const uint8_t*>(dense->const_data_ptr());
  const norm::Args& args = plan.args;
  run_parts(y.numel() / n, n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t offset = begin * n; offset < end * n; offset += n) {
      Moments moments;
      sum(from + offset, n, args.x_flip, &moments.sum, &moments.squares);
      const Normalization unit = normalize(moments, n, x_scale, args.x_zero_point, plan.eps);
      const norm::Affine affine{static_cast<float>(unit.scale), static_cast<float>(unit.shift),
                                terms.weight, terms.bias};
      if (plan.output.is_float()) {
        run_floats(args, from + offset, y.mutable_data_ptr<float>() + offset, n, affine);
      } else {
        run_bytes(args, from + offset, static_cast<uint8_t*>(y.mutable_data_ptr()) + offset, n,
                  affine);
      }
    }
  });
  if (plan.output.is_float()) clamp_floats(y, plan.output.activation);
  return y;
}

// The planned op.
struct LayerNormOp {
  struct Plan {
    LayerNormPlan<int64_t> plan;
    std::vector<float> memory;  // of terms
    NormTerms terms;
  };
  QParams x_qparams;
  IntList normalized_shape;
  NormWeights weights;
  double eps;
  OutputSpec output;

  Plan plan(Inputs x) const {
    const BorrowedQTensor borrowed(*x[0], x_qparams);
    Plan plan{plan_layer_norm<int64_t>(borrowed, normalized_shape, weights, eps, output), {}, {}};
    const int64_t n = plan.plan.n;
    plan.memory.resize(2 * n);
    plan.terms = make_terms(plan.plan, weights, plan.memory.data(), plan.memory.data() + n);
    return plan;
  }
  at::Tensor run(const Plan& plan, Inputs x) const {
    return run_layer_norm(plan.plan, plan.terms, *x[0], x_qparams.scale);
  }
};

QTensor layer_norm_meta(const QTensor& x, c10::SymIntArrayRef normalized_shape,
                        const NormWeights& weights, double eps, const OutputSpec& y) {
  plan_layer_norm(x, normalized_shape, weights, eps, y);
  return {at::empty_symint(x.data.sym_sizes(), x.data.options().dtype(y.dtype)), output_qparams(y)};
}

}  // namespace

QTensor layer_norm(const QTensor& x, at::IntArrayRef normalized_shape, const NormWeights& weights,
                   double eps, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_layer_norm(x, normalized_shape, weights, eps, y);
  Scratch scratch(2 * Scratch::bytes<float>(plan.n));
  auto* const weight = scratch.take<float>(plan.n);
  const NormTerms terms = make_terms(plan, weights, weight, scratch.take<float>(plan.n));
  return {run_layer_norm(plan, terms, x.data, x.qparams.scale), output_qparams(y)};
}

std::unique_ptr<PlannedOp> plan_layer_norm_op(Arguments& arguments) {
  arguments.operand();
  LayerNormOp op{};
  op.x_qparams = arguments.qparams();
  op.normalized_shape = arguments.ints();
  op.weights.weight = arguments.optional_tensor();
  op.weights.bias = arguments.optional_tensor();
  op.eps = arguments.real();
  op.output = arguments.output();
  return make_planned(std::move(op), arguments);
}

namespace {

// The op of the schema. kRun: layer_norm or layer_norm_meta.
template <auto kRun, class Ints>
at::Tensor layer_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         Ints normalized_shape, const std::optional<at::Tensor>& weight,
                         const std::optional<at::Tensor>& bias, double eps, double y_scale,
                         int64_t y_zero_point, at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), normalized_shape, {weight, bias}, eps,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("layer_norm", TORCH_FN((layer_norm_op<layer_norm, at::IntArrayRef>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("layer_norm", TORCH_FN((layer_norm_op<layer_norm_meta, c10::SymIntArrayRef>)));
}

}  // namespace qnative::ops
