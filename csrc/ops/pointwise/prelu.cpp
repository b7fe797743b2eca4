#include <torch/library.h>

#include "common/channels.h"
#include "common/dispatch.h"
#include "norm/norm.h"
#include "product/channel_params.h"
#include "qnative/ops/norm.h"

namespace qnative::ops {
namespace {

template <class Int>
void check_prelu(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                 const at::Tensor& weight, at::DeviceType device) {
  check_8bit("prelu", "x", x, device);
  check_qparams("prelu", "x_", x_scale, x_zero_point, x.scalar_type());
  check_tensor("prelu", "weight", weight, device);
  check_dtype("prelu", "weight", weight, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(weight);
  if (sizes.empty() || (sizes.size() == 1 && sizes[0] == 1)) return;
  TORCH_CHECK(x.dim() >= 2 && sizes.size() == 1 && sizes[0] == at::symint::size<Int>(x, 1),
              "qnative::prelu: weight must have one value, or shape [C] for x [N, C, ...], got ",
              sizes, " for x ", at::symint::sizes<Int>(x));
}

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

at::Tensor prelu_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      const at::Tensor& weight, double y_scale, int64_t y_zero_point,
                      at::ScalarType y_dtype) {
  check_prelu<c10::SymInt>(x, x_scale, x_zero_point, weight, at::kMeta);
  make_output("prelu", y_scale, y_zero_point, y_dtype);
  return empty_channels_meta(x, y_dtype);
}

}  // namespace

at::Tensor prelu(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                 const at::Tensor& weight, double y_scale, int64_t y_zero_point,
                 at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_prelu<int64_t>(x, x_scale, x_zero_point, weight, at::kCPU);
  const OutputSpec output = make_output("prelu", y_scale, y_zero_point, y_dtype);
  const int64_t n = weight.numel();
  const auto weights = weight.expect_contiguous();
  Scratch scratch(Scratch::bytes<float>(n));
  auto* const negative = scratch.take<float>(n);
  for (int64_t i = 0; i < n; ++i) {
    const float w = weights->const_data_ptr<float>()[i];
    TORCH_CHECK(std::isfinite(w), "qnative::prelu: weight must be finite, got ", w, " at ", i);
    negative[i] = finite_multiplier("prelu", x_scale * w / output.qparams.scale);
  }
  const Prelu op{{.x_zero_point = unsigned_zero_point(x_zero_point, x.scalar_type()),
                  .x_flip = flip_of(x.scalar_type()),
                  .requantize = make_requantize(output)},
                 finite_multiplier("prelu", x_scale / output.qparams.scale)};
  ChannelTensors t(x, y_dtype);
  if (t.y.numel() == 0) return t.y;
  if (n == 1) t.flatten();
  apply_channels(op, t, {negative, negative, 1});
  return t.y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("prelu", TORCH_FN(prelu)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("prelu", TORCH_FN(prelu_meta)); }

}  // namespace qnative::ops
