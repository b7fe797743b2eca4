#include <torch/library.h>

#include "common/borrow.h"
#include "common/channels.h"
#include "common/dispatch.h"
#include "common/output.h"
#include "norm/norm.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

// The function of one byte, with one multiplier for a channel's negative values.
struct Prelu {
  norm::Args args;
  float positive;

  void run(const uint8_t* x, uint8_t* y, int64_t n, float negative, float) const {
    constexpr int64_t kSize = 256;
    float values[kSize];
    std::fill_n(values, std::min(n, kSize), negative);
    for (int64_t i = 0; i < n; i += kSize) {
      run_each(x + i, y + i, std::min(kSize, n - i), values, values);
    }
  }
  void run_each(const uint8_t* x, uint8_t* y, int64_t n, const float* negative,
                const float*) const {
    static auto& kernel = select(norm::prelu_kernels());
    kernel(args, x, y, n, positive, negative);
  }
};

template <class Int>
void check_weight(const at::Tensor& x, const at::Tensor& weight) {
  check_tensor("prelu", "weight", weight, kDevice<Int>);
  check_dtype("prelu", "weight", weight, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(weight);
  if (sizes.empty() || (sizes.size() == 1 && sizes[0] == 1)) return;
  TORCH_CHECK(x.dim() >= 2 && sizes.size() == 1 && sizes[0] == at::symint::size<Int>(x, 1),
              "qnative::prelu: weight must have one value, or shape [C] for x [N, C, ...], got ",
              sizes, " for x ", at::symint::sizes<Int>(x));
}

// All that constants and shapes determine, checked.
template <class Int>
Prelu plan_prelu(const QTensor& x, const at::Tensor& weight, const OutputSpec& y) {
  check_qtensor("prelu", "x", x, kDevice<Int>);
  check_weight<Int>(x.data, weight);
  check_output("prelu", y);
  return {{.x_zero_point = unsigned_zero_point(x),
           .x_flip = flip_of(x.data.scalar_type()),
           .requantize = make_requantize(y)},
          scale_ratio("prelu", x, y)};
}

at::Tensor run_prelu(const Prelu& plan, const QTensor& x, const at::Tensor& weight,
                     const OutputSpec& y) {
  const int64_t n = weight.numel();
  const auto weights = weight.expect_contiguous();
  Scratch scratch(Scratch::bytes<float>(n));
  auto* const negative = scratch.take<float>(n);
  for (int64_t i = 0; i < n; ++i) {
    const float w = weights->const_data_ptr<float>()[i];
    TORCH_CHECK(std::isfinite(w), "qnative::prelu: weight must be finite, got ", w, " at ", i);
    negative[i] = finite_multiplier("prelu", x.qparams.scale * w / y.qparams.scale);
  }
  ChannelTensors t(x.data, y.dtype);
  if (t.y.numel() == 0) return t.y;
  if (n == 1) t.flatten();
  apply_channels(plan, t, {negative, negative, 1});
  return t.y;
}

QTensor prelu_meta(const QTensor& x, const at::Tensor& weight, const OutputSpec& y) {
  plan_prelu<c10::SymInt>(x, weight, y);
  return {empty_channels_meta(x.data, y.dtype), y.qparams};
}

}  // namespace

QTensor prelu(const QTensor& x, const at::Tensor& weight, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return {run_prelu(plan_prelu<int64_t>(x, weight, y), x, weight, y), y.qparams};
}

namespace {

// The op of the schema. kRun: prelu or prelu_meta.
template <auto kRun>
at::Tensor prelu_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                    const at::Tensor& weight, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), weight,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("prelu", TORCH_FN(prelu_op<prelu>)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("prelu", TORCH_FN(prelu_op<prelu_meta>)); }

}  // namespace qnative::ops
