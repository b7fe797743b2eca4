#include <torch/library.h>

#include <limits>
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

// What layer_norm and rms_norm do not share: the name, and what follows from the sums of a row.
struct RowNorm {
  const char* name;
  Normalization (*normalize)(const Moments&, int64_t n, double x_scale, int32_t x_zero_point,
                             double eps);
};
constexpr RowNorm kLayerNorm{"layer_norm", normalize};
constexpr RowNorm kRmsNorm{"rms_norm", normalize_root};
// That of torch.rms_norm without eps.
constexpr double kRmsEps = std::numeric_limits<float>::epsilon();

template <class Int>
void check_weight(const char* op, const char* name, const std::optional<at::Tensor>& tensor,
                  at::ArrayRef<Int> normalized_shape) {
  if (!tensor) return;
  check_tensor(op, name, *tensor, kDevice<Int>);
  check_dtype(op, name, *tensor, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(*tensor);
  TORCH_CHECK(sizes.equals(normalized_shape), "qnative::", op, ": ", name,
              " must have the shape normalized_shape ", normalized_shape, ", got ", sizes);
}

// All that constants and shapes determine, checked.
template <class Int>
struct RowNormPlan {
  const RowNorm* kind;
  Int n;  // elements a row
  double eps;
  OutputSpec output;
  norm::Args args;
};

template <class Int>
RowNormPlan<Int> plan_row_norm(const RowNorm& kind, const QTensor& x,
                               at::ArrayRef<Int> normalized_shape, const NormWeights& weights,
                               double eps, const OutputSpec& y) {
  check_qtensor(kind.name, "x", x, kDevice<Int>, Words::kAllowed);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x.data);
  const size_t rank = normalized_shape.size();
  TORCH_CHECK(rank >= 1 && rank <= sizes.size() &&
                  sizes.slice(sizes.size() - rank).equals(normalized_shape),
              "qnative::", kind.name, ": x must be [..., *normalized_shape], got ", sizes, " and ",
              normalized_shape);
  check_weight(kind.name, "weight", weights.weight, normalized_shape);
  check_weight(kind.name, "bias", weights.bias, normalized_shape);
  check_eps(kind.name, eps);
  check_output(kind.name, y, FloatOutput::kAllowed, Words::kAllowed);
  Int n(1);
  for (const Int& size : normalized_shape) n *= size;
  return {.kind = &kind,
          .n = std::move(n),
          .eps = eps,
          .output = y,
          .args = {.x_zero_point = unsigned_zero_point(x),
                   .x_flip = flip_of(x.data.scalar_type()),
                   .requantize = y.is_float() ? Requantize{} : make_requantize(y),
                   .x_is_word = is_word(x.data.scalar_type()),
                   .y_is_word = is_word(y.dtype)}};
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
NormTerms make_terms(const RowNormPlan<int64_t>& plan, const NormWeights& weights, float* weight,
                     float* bias) {
  const auto factor = static_cast<float>(1.0 / output_qparams(plan.output).scale);
  scaled(weights.weight, factor, factor, plan.n, weight);
  scaled(weights.bias, factor, 0, plan.n, bias);
  return {weight, bias};
}

Moments moments_of(const norm::Args& args, const std::byte* x, int64_t n) {
  static auto& sum_bytes = select(norm::sum_kernels());
  static auto& sum_words = select(norm::sum_words_kernels());
  Moments moments;
  if (args.x_is_word) {
    sum_words(reinterpret_cast<const int16_t*>(x), n, &moments.sum, &moments.squares);
  } else {
    sum_bytes(reinterpret_cast<const uint8_t*>(x), n, args.x_flip, &moments.sum, &moments.squares);
  }
  return moments;
}

at::Tensor run_row_norm(const RowNormPlan<int64_t>& plan, const NormTerms& terms,
                        const at::Tensor& x, double x_scale) {
  static auto& run_quantized = select(norm::affine_kernels());
  static auto& run_floats = select(norm::affine_float_kernels());
  const at::Tensor y = empty(x.sizes(), plan.output.dtype);
  if (y.numel() == 0) return y;
  const int64_t n = plan.n;
  const auto dense = x.expect_contiguous();
  const auto* const from = static_cast<const std::byte*>(dense->const_data_ptr());
  auto* const to = static_cast<std::byte*>(y.mutable_data_ptr());
  const auto x_bytes = static_cast<int64_t>(dense->element_size());
  const auto y_bytes = static_cast<int64_t>(y.element_size());
  const norm::Args& args = plan.args;
  run_parts(y.numel() / n, n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t offset = begin * n; offset < end * n; offset += n) {
      const std::byte* const row = from + offset * x_bytes;
      std::byte* const y_row = to + offset * y_bytes;
      const Normalization unit =
          plan.kind->normalize(moments_of(args, row, n), n, x_scale, args.x_zero_point, plan.eps);
      const norm::Affine affine{static_cast<float>(unit.scale), static_cast<float>(unit.shift),
                                terms.weight, terms.bias};
      if (plan.output.is_float()) {
        run_floats(args, row, reinterpret_cast<float*>(y_row), n, affine);
      } else {
        run_quantized(args, row, y_row, n, affine);
      }
    }
  });
  if (plan.output.is_float()) clamp_floats(y, plan.output.activation);
  return y;
}

// The planned op.
struct RowNormOp {
  struct Plan {
    RowNormPlan<int64_t> plan;
    std::vector<float> memory;  // of terms
    NormTerms terms;
  };
  const RowNorm* kind;
  QParams x_qparams;
  IntList normalized_shape;
  NormWeights weights;
  double eps;
  OutputSpec output;

  Plan plan(Inputs x) const {
    const BorrowedQTensor borrowed(*x[0], x_qparams);
    Plan plan{
        plan_row_norm<int64_t>(*kind, borrowed, normalized_shape, weights, eps, output), {}, {}};
    const int64_t n = plan.plan.n;
    plan.memory.resize(2 * n);
    plan.terms = make_terms(plan.plan, weights, plan.memory.data(), plan.memory.data() + n);
    return plan;
  }
  Work work(const Plan& /*plan*/, Inputs /*x*/) const {
    return {output.is_float() ? "norm.affine_float" : "norm.affine"};
  }
  at::Tensor run(const Plan& plan, Inputs x) const {
    return run_row_norm(plan.plan, plan.terms, *x[0], x_qparams.scale);
  }
};

QTensor row_norm(const RowNorm& kind, const QTensor& x, at::IntArrayRef normalized_shape,
                 const NormWeights& weights, double eps, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_row_norm(kind, x, normalized_shape, weights, eps, y);
  Scratch scratch(2 * Scratch::bytes<float>(plan.n));
  auto* const weight = scratch.take<float>(plan.n);
  const NormTerms terms = make_terms(plan, weights, weight, scratch.take<float>(plan.n));
  return {run_row_norm(plan, terms, x.data, x.qparams.scale), output_qparams(y)};
}

QTensor row_norm_meta(const RowNorm& kind, const QTensor& x, c10::SymIntArrayRef normalized_shape,
                      const NormWeights& weights, double eps, const OutputSpec& y) {
  plan_row_norm(kind, x, normalized_shape, weights, eps, y);
  return {at::empty_symint(x.data.sym_sizes(), x.data.options().dtype(y.dtype)), output_qparams(y)};
}

}  // namespace

QTensor layer_norm(const QTensor& x, at::IntArrayRef normalized_shape, const NormWeights& weights,
                   double eps, const OutputSpec& y) {
  return row_norm(kLayerNorm, x, normalized_shape, weights, eps, y);
}

QTensor rms_norm(const QTensor& x, at::IntArrayRef normalized_shape,
                 const std::optional<at::Tensor>& weight, std::optional<double> eps,
                 const OutputSpec& y) {
  return row_norm(kRmsNorm, x, normalized_shape, {weight}, eps.value_or(kRmsEps), y);
}

std::unique_ptr<PlannedOp> plan_layer_norm_op(Arguments& arguments) {
  arguments.operand();
  RowNormOp op{};
  op.kind = &kLayerNorm;
  op.x_qparams = arguments.qparams();
  op.normalized_shape = arguments.ints();
  op.weights.weight = arguments.optional_tensor();
  op.weights.bias = arguments.optional_tensor();
  op.eps = arguments.real();
  op.output = arguments.output();
  return make_planned(std::move(op), arguments);
}

std::unique_ptr<PlannedOp> plan_rms_norm_op(Arguments& arguments) {
  arguments.operand();
  RowNormOp op{};
  op.kind = &kRmsNorm;
  op.x_qparams = arguments.qparams();
  op.normalized_shape = arguments.ints();
  op.weights.weight = arguments.optional_tensor();
  op.eps = arguments.optional<double>().value_or(kRmsEps);
  op.output = arguments.output();
  return make_planned(std::move(op), arguments);
}

namespace {

// The ops of the schemas. kRun: row_norm or row_norm_meta.
template <auto kRun, class Ints>
at::Tensor layer_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         Ints normalized_shape, const std::optional<at::Tensor>& weight,
                         const std::optional<at::Tensor>& bias, double eps, double y_scale,
                         int64_t y_zero_point, at::ScalarType y_dtype) {
  return kRun(kLayerNorm, BorrowedQTensor(x, {x_scale, x_zero_point}), normalized_shape,
              {weight, bias}, eps, {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <auto kRun, class Ints>
at::Tensor rms_norm_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                       Ints normalized_shape, const std::optional<at::Tensor>& weight,
                       std::optional<double> eps, double y_scale, int64_t y_zero_point,
                       at::ScalarType y_dtype) {
  return kRun(kRmsNorm, BorrowedQTensor(x, {x_scale, x_zero_point}), normalized_shape, {weight},
              eps.value_or(kRmsEps), {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("layer_norm", TORCH_FN((layer_norm_op<row_norm, at::IntArrayRef>)));
  m.impl("rms_norm", TORCH_FN((rms_norm_op<row_norm, at::IntArrayRef>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("layer_norm", TORCH_FN((layer_norm_op<row_norm_meta, c10::SymIntArrayRef>)));
  m.impl("rms_norm", TORCH_FN((rms_norm_op<row_norm_meta, c10::SymIntArrayRef>)));
}

}  // namespace qnative::ops
