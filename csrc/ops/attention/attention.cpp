#include "qnative/ops/attention.h"

#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "attention/rows.h"
#include "blocks.h"
#include "common/borrow.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/output.h"
#include "common/planned.h"
#include "common/plans.h"
#include "panels/panels.h"

namespace qnative::ops {
namespace {

constexpr const char* kAttention = "attention";

// Operands that are bytes already. The zero point of k is not needed: it adds one number to all
// scores of a row.
class Bytes : public HeadOperands {
 public:
  // In units of y, of values less 128.
  struct Values {
    float scale, bias;
  };

  Bytes(const AttentionTensors& tensors, float score_scale, int32_t q_zero_point,
        const Values& values)
      : tensors_(tensors),
        score_scale_(score_scale),
        q_zero_point_(q_zero_point),
        values_(values) {}

  bool prepare(const Places& at, const HeadPanels& to) override {
    const at::Tensor &k = tensors_.k, &v = tensors_.v;
    pack(k, at.k, k.size(-1), k.size(-2), k.stride(-1), k.stride(-2), to.keys, to.key_sums);
    for (int64_t t = 0; t < k.size(-2); ++t) to.start[t] = -q_zero_point_ * to.key_sums[t];
    pack(v, at.v, v.size(-2), v.size(-1), v.stride(-2), v.stride(-1), to.values, to.value_sums);
    std::fill_n(to.scale, v.size(-1), values_.scale);
    std::fill_n(to.bias, v.size(-1), values_.bias);
    return true;
  }

  void load(const Places& at, int64_t query, int64_t count, const QueryRows& to) override {
    const at::Tensor& q = tensors_.q;
    const int64_t size = q.size(-1), stride = q.stride(-1);
    const uint8_t flip = flip_of(q.scalar_type());
    const auto* row = static_cast<const uint8_t*>(q.const_data_ptr()) + at.q + query * q.stride(-2);
    uint8_t* x = to.x;
    for (int64_t i = 0; i < count; ++i, row += q.stride(-2), x += to.stride) {
      if (stride == 1) {
        for (int64_t e = 0; e < size; ++e) x[e] = row[e] ^ flip;
      } else {
        for (int64_t e = 0; e < size; ++e) x[e] = row[e * stride] ^ flip;
      }
    }
    std::fill_n(to.scale, count, score_scale_);
  }

  bool has_zero_points() const override { return false; }

 private:
  // [k][n] as int8.
  static void pack(const at::Tensor& x, int64_t offset, int64_t k, int64_t n, int64_t k_stride,
                   int64_t n_stride, int8_t* packed, int32_t* sums) {
    static auto& run = select(panels::kernels());
    run({.data = static_cast<const uint8_t*>(x.const_data_ptr()) + offset,
         .k = k,
         .n = n,
         .k_stride = k_stride,
         .n_stride = n_stride,
         .flip = static_cast<uint8_t>(flip_of(x.scalar_type()) ^ 0x80)},
        0, ceil_div(n, kPanelColumns), packed, sums);
  }

  const AttentionTensors& tensors_;
  float score_scale_;
  int32_t q_zero_point_;
  Values values_;
};

// What scores and values are multiplied by; an error when it overflows float32. size: E.
struct Multipliers {
  float score;
  Bytes::Values values;
};
Multipliers multipliers_of(const QTensor& q, const QTensor& k, const QTensor& v,
                           const OutputSpec& y, const AttentionOptions& options, int64_t size) {
  const double scale = v.qparams.scale / output_qparams(y).scale;
  const int32_t v_zero_point = unsigned_zero_point(v) - 128;
  return {.score = finite_multiplier(
              kAttention, q.qparams.scale * k.qparams.scale * softmax_scale(options, size)),
          .values = {.scale = finite_multiplier(kAttention, scale),
                     .bias = finite_multiplier(kAttention, -v_zero_point * scale)}};
}

template <class Int>
AttentionShape<Int> check_attention(const QTensor& q, const QTensor& k, const QTensor& v,
                                    const OutputSpec& y, const AttentionOptions& options,
                                    at::DeviceType device) {
  check_qtensor(kAttention, "q", q, device);
  check_qtensor(kAttention, "k", k, device);
  check_qtensor(kAttention, "v", v, device);
  check_output(kAttention, y, FloatOutput::kAllowed);
  TORCH_CHECK(std::isinf(y.activation.min) && std::isinf(y.activation.max), "qnative::", kAttention,
              ": takes no activation, got bounds ", y.activation.min, " and ", y.activation.max);
  return attention_shape<Int>(kAttention, q.data, k.data, v.data, options, device);
}

QTensor attention_meta(const QTensor& q, const QTensor& k, const QTensor& v, const OutputSpec& y,
                       const AttentionOptions& options) {
  const auto shape = check_attention<c10::SymInt>(q, k, v, y, options, at::kMeta);
  if (const auto size = shape.size.maybe_as_int()) multipliers_of(q, k, v, y, options, *size);
  return {at::empty_strided_symint(shape.y.sizes, shape.y.strides, q.data.options().dtype(y.dtype)),
          output_qparams(y)};
}

// What the eager and the planned op share. Inputs: q, k, v and the mask, if there is one.
struct AttentionOp {
  struct Plan {
    AttentionShape<int64_t> shape;
    Multipliers multipliers;
    int32_t q_zero_point;
    Requantize requantize;
  };
  QParams q_qparams, k_qparams, v_qparams;
  OutputSpec output;
  AttentionOptions options;  // but for the mask

  Plan plan(Inputs x) const {
    const BorrowedQTensor q(*x[0], q_qparams), k(*x[1], k_qparams), v(*x[2], v_qparams);
    const AttentionOptions all = with_mask(options, x);
    auto shape = check_attention<int64_t>(q, k, v, output, all, at::kCPU);
    const Multipliers multipliers = multipliers_of(q, k, v, output, options, shape.size);
    return {std::move(shape), multipliers, unsigned_zero_point(q),
            output.is_float() ? Requantize{} : make_requantize(output)};
  }

  static Work work(const Plan& plan, Inputs /*x*/) { return attention_work(plan.shape); }
  at::Tensor run(const Plan& plan, Inputs x) const {
    at::Tensor y = empty(plan.shape.y, output.dtype);
    if (y.numel() == 0) return y;
    AttentionCall call(plan.shape, {*x[0], *x[1], *x[2], mask_of(x), y}, options);
    call.requantize = plan.requantize;
    run_attention(call, [&] {
      return Bytes(call.tensors, plan.multipliers.score, plan.q_zero_point,
                   plan.multipliers.values);
    });
    return y;
  }
};

}  // namespace

QTensor attention(const QTensor& q, const QTensor& k, const QTensor& v, const OutputSpec& y,
                  const AttentionOptions& options) {
  const AttentionOp op{q.qparams, k.qparams, v.qparams, y, without_mask(options)};
  return {run_op(op, AttentionInputs(q.data, k.data, v.data, options)), output_qparams(y)};
}

std::unique_ptr<PlannedOp> plan_attention_op(Arguments& arguments) {
  AttentionOp op{};
  for (QParams* qparams : {&op.q_qparams, &op.k_qparams, &op.v_qparams}) {
    arguments.operand();
    *qparams = arguments.qparams();
  }
  op.output = arguments.output();
  op.options = read_options(arguments);
  return make_planned(std::move(op), arguments);
}

namespace {

// The op of the schema. kRun: attention or attention_meta.
template <auto kRun>
at::Tensor attention_op(const at::Tensor& q, double q_scale, int64_t q_zero_point,
                        const at::Tensor& k, double k_scale, int64_t k_zero_point,
                        const at::Tensor& v, double v_scale, int64_t v_zero_point, double y_scale,
                        int64_t y_zero_point, at::ScalarType y_dtype,
                        const std::optional<at::Tensor>& attn_mask, bool is_causal,
                        std::optional<double> scale, bool enable_gqa) {
  return kRun(BorrowedQTensor(q, {q_scale, q_zero_point}),
              BorrowedQTensor(k, {k_scale, k_zero_point}),
              BorrowedQTensor(v, {v_scale, v_zero_point}),
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype},
              {.mask = attn_mask, .is_causal = is_causal, .scale = scale, .enable_gqa = enable_gqa})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("attention", TORCH_FN(attention_op<attention>)); }

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("attention", TORCH_FN(attention_op<attention_meta>));
}

}  // namespace qnative::ops
