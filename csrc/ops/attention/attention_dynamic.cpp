#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "attention/attention.h"
#include "attention/rows.h"
#include "blocks.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/planned.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "panels/panels.h"
#include "qnative/ops/attention.h"

namespace qnative::ops {
namespace {

constexpr const char* kDynamic = "attention_dynamic";
constexpr int64_t kFloatGrain = 32 * 1024;  // products of a task in float32

// A matrix of rows that are contiguous.
attention::Floats floats(const at::Tensor& x, int64_t offset, int64_t row, int64_t rows) {
  return {.data = x.const_data_ptr<float>() + offset + row * x.stride(-2),
          .rows = rows,
          .n = x.size(-1),
          .stride = x.stride(-2)};
}

attention::Columns take_columns(int64_t n, Scratch& scratch) {
  return {.low = scratch.take<float>(n),
          .scale = scratch.take<float>(n),
          .inverse = scratch.take<float>(n),
          .shift = scratch.take<float>(n)};
}

// x as bytes [rows][n], its columns measured first.
void quantize(const attention::Floats& x, const attention::Columns& columns, uint8_t* y) {
  static auto& measure_columns = select(attention::measure_columns_kernels());
  static auto& quantize_columns = select(attention::quantize_columns_kernels());
  measure_columns(x, columns);
  quantize_columns(x, columns, y, x.n);
}

// Operands that are quantized on the way.
class Reals : public HeadOperands {
 public:
  Reals(const AttentionTensors& tensors, float softmax_scale)
      : tensors_(tensors),
        softmax_scale_(softmax_scale),
        keys_(tensors.k.size(-2)),
        size_(tensors.k.size(-1)),
        value_size_(tensors.v.size(-1)),
        scratch_(4 * (Scratch::bytes<float>(size_) + Scratch::bytes<float>(value_size_)) +
                 Scratch::bytes<uint8_t>(keys_ * std::max(size_, value_size_))),
        key_columns_(take_columns(size_, scratch_)),
        value_columns_(take_columns(value_size_, scratch_)),
        bytes_(scratch_.take<uint8_t>(keys_ * std::max(size_, value_size_))) {}

  bool prepare(const Places& at, const HeadPanels& to) override {
    static auto& pack = select(panels::kernels());
    quantize(floats(tensors_.k, at.k, 0, keys_), key_columns_, bytes_);
    const float* const scale = key_columns_.scale;
    if (std::any_of(scale, scale + size_, [](float x) { return std::isnan(x); })) return false;
    pack({.data = bytes_, .k = size_, .n = keys_, .k_stride = 1, .n_stride = size_, .flip = 0x80},
         0, ceil_div(keys_, kPanelColumns), to.keys, to.key_sums);
    quantize(floats(tensors_.v, at.v, 0, keys_), value_columns_, bytes_);
    pack({.data = bytes_,
          .k = keys_,
          .n = value_size_,
          .k_stride = value_size_,
          .n_stride = 1,
          .flip = 0x80},
         0, ceil_div(value_size_, kPanelColumns), to.values, to.value_sums);
    for (int64_t n = 0; n < value_size_; ++n) {
      to.scale[n] = value_columns_.scale[n];
      to.bias[n] = value_columns_.low[n] + 128 * value_columns_.scale[n];
    }
    return true;
  }

  void load(const Places& at, int64_t query, int64_t count, const QueryRows& to) override {
    static auto& quantize_rows = select(attention::quantize_rows_kernels());
    if (size_ > 0) {
      quantize_rows(
          floats(tensors_.q, at.q, query, count), key_columns_.scale,
          {.y = to.x, .y_stride = to.stride, .scale = to.scale, .zero_point = to.zero_point});
    } else {
      std::fill_n(to.scale, count, 1.0f);
      std::fill_n(to.zero_point, count, 0);
    }
    for (int64_t i = 0; i < count; ++i) to.scale[i] *= softmax_scale_;
  }

  bool has_zero_points() const override { return true; }

 private:
  const AttentionTensors& tensors_;
  float softmax_scale_;
  int64_t keys_, size_, value_size_;
  Scratch scratch_;
  attention::Columns key_columns_, value_columns_;
  uint8_t* bytes_;
};

// The queries of a group of heads, few of them, in float32.
class FewRows {
 public:
  FewRows(const AttentionCall& call, float softmax_scale)
      : call_(call),
        softmax_scale_(softmax_scale),
        queries_(call.shape.queries),
        rows_(call.group * queries_),
        mask_(call.tensors.mask, call.shape.keys),
        scratch_(Scratch::bytes<float>(rows_ * score_stride()) +
                 Scratch::bytes<float>(rows_ * call.shape.size) +
                 Scratch::bytes<float>(rows_ * call.shape.value_size) +
                 Scratch::bytes<float>(rows_ * mask_.buffer_size())),
        scores_(scratch_.take<float>(rows_ * score_stride())),
        q_(scratch_.take<float>(rows_ * call.shape.size)),
        y_(scratch_.take<float>(rows_ * call.shape.value_size)),
        mask_buffer_(scratch_.take<float>(rows_ * mask_.buffer_size())) {}

  void run(int64_t group) {
    static auto& multiply = select(attention::float_rows_kernels());
    const int64_t first = group * call_.group, size = call_.shape.size;
    const at::Tensor &k = call_.tensors.k, &v = call_.tensors.v;
    const float* mask[attention::kMaxRows];
    int64_t keys[attention::kMaxRows];
    int64_t most = 0;
    Places at[attention::kMaxRows];
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t query = r % queries_;
      at[r] = query > 0 ? at[r - 1] : call_.heads.at(first + r / queries_);
      std::copy_n(floats(call_.tensors.q, at[r].q, query, 1).data, size, q_ + r * size);
      keys[r] = call_.is_causal ? std::min(query + 1, call_.shape.keys) : call_.shape.keys;
      most = std::max(most, keys[r]);
      int64_t none = -1;
      if (mask_.exists()) {
        mask[r] = mask_.row(at[r].mask, query, mask_buffer_ + r * mask_.buffer_size(), none);
      }
    }
    multiply({.q = {q_, rows_, size, size},
              .mask = mask_.exists() ? mask : nullptr,
              .keys = keys,
              .k = floats(k, at[0].k, 0, most),
              .v = floats(v, at[0].v, 0, most),
              .scale = softmax_scale_,
              .y = y_,
              .y_stride = call_.shape.value_size},
             scores_);
    store(at);
  }

 private:
  int64_t score_stride() const { return round_up(call_.shape.keys, attention::kBlock); }

  void store(const Places* at) const {
    float* const y = call_.tensors.y.mutable_data_ptr<float>();
    const int64_t n = call_.shape.value_size, stride = call_.tensors.y.stride(-2);
    for (int64_t r = 0; r < rows_; ++r) {
      std::copy_n(y_ + r * n, n, y + at[r].y + r % queries_ * stride);
    }
  }

  const AttentionCall& call_;
  float softmax_scale_;
  int64_t queries_, rows_;
  MaskRows mask_;
  Scratch scratch_;
  float *scores_, *q_, *y_, *mask_buffer_;
};

template <class Int>
AttentionShape<Int> check_dynamic(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const AttentionOptions& options, at::DeviceType device) {
  const std::pair<const char*, const at::Tensor&> operands[] = {{"q", q}, {"k", k}, {"v", v}};
  for (const auto& [name, tensor] : operands) {
    check_tensor(kDynamic, name, tensor, device);
    check_dtype(kDynamic, name, tensor, at::kFloat);
  }
  return attention_shape<Int>(kDynamic, q, k, v, options, device);
}

at::Tensor attention_dynamic_meta(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const AttentionOptions& options) {
  const auto shape = check_dynamic<c10::SymInt>(q, k, v, options, at::kMeta);
  return at::empty_strided_symint(shape.y.sizes, shape.y.strides, q.options());
}

at::Tensor with_dense_rows(const at::Tensor& x) {
  return x.size(-1) <= 1 || x.stride(-1) == 1 ? x : x.contiguous();
}

// What the eager and the planned op share. Inputs: q, k, v and the mask, if there is one.
struct AttentionDynamicOp {
  using Plan = AttentionShape<int64_t>;
  AttentionOptions options;  // but for the mask

  Plan plan(Inputs x) const {
    return check_dynamic<int64_t>(*x[0], *x[1], *x[2], with_mask(options, x), at::kCPU);
  }

  static Work work(const Plan& shape, Inputs /*x*/) { return attention_work(shape); }

  at::Tensor run(const Plan& shape, Inputs x) const {
    at::Tensor y = empty(shape.y, at::kFloat);
    if (y.numel() == 0) return y;
    const auto scale = static_cast<float>(softmax_scale(options, shape.size));
    const AttentionCall call(
        shape,
        {with_dense_rows(*x[0]), with_dense_rows(*x[1]), with_dense_rows(*x[2]), mask_of(x), y},
        options);
    if (call.group * shape.queries <= attention::kMaxRows && shape.keys > 0) {
      const int64_t groups = call.heads.count() / call.group;
      const int64_t work = shape.keys * (shape.size + shape.value_size);
      run_parts(groups, work, kFloatGrain, [&](int64_t begin, int64_t end) {
        FewRows rows(call, scale);
        for (int64_t group = begin; group < end; ++group) rows.run(group);
      });
    } else {
      run_attention(call, [&] { return Reals(call.tensors, scale); });
    }
    return y;
  }
};

}  // namespace

at::Tensor attention_dynamic(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const AttentionOptions& options) {
  return run_op(AttentionDynamicOp{without_mask(options)}, AttentionInputs(q, k, v, options));
}

std::unique_ptr<PlannedOp> plan_attention_dynamic_op(Arguments& arguments) {
  for (int i = 0; i < 3; ++i) arguments.operand();
  return make_planned(AttentionDynamicOp{read_options(arguments)}, arguments);
}

namespace {

// The op of the schema. kRun: attention_dynamic or attention_dynamic_meta.
template <auto kRun>
at::Tensor attention_dynamic_op(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const std::optional<at::Tensor>& attn_mask, bool is_causal,
                                std::optional<double> scale, bool enable_gqa) {
  return kRun(
      q, k, v,
      {.mask = attn_mask, .is_causal = is_causal, .scale = scale, .enable_gqa = enable_gqa});
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("attention_dynamic", TORCH_FN(attention_dynamic_op<attention_dynamic>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("attention_dynamic", TORCH_FN(attention_dynamic_op<attention_dynamic_meta>));
}

}  // namespace qnative::ops
