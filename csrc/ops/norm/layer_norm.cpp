#include <torch/library.h>

#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "norm/moments.h"
#include "norm/norm.h"
#include "product/channel_params.h"
#include "qnative/ops/norm.h"

namespace qnative::ops {
namespace {

constexpr int64_t kLayerNormGrain = 16 * 1024;  // elements a task

template <class Int>
void check_affine(const char* name, const std::optional<at::Tensor>& tensor,
                  at::ArrayRef<Int> normalized_shape, at::DeviceType device) {
  if (!tensor) return;
  check_tensor("layer_norm", name, *tensor, device);
  check_dtype("layer_norm", name, *tensor, at::kFloat);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(*tensor);
  TORCH_CHECK(sizes.equals(normalized_shape), "qnative::layer_norm: ", name,
              " must have the shape normalized_shape ", normalized_shape, ", got ", sizes);
}

template <class Int>
void check_layer_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::ArrayRef<Int> normalized_shape, const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, at::DeviceType device) {
  check_8bit("layer_norm", "x", x, device);
  check_qparams("layer_norm", "x_", x_scale, x_zero_point, x.scalar_type());
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  const size_t rank = normalized_shape.size();
  TORCH_CHECK(rank >= 1 && rank <= sizes.size() &&
                  sizes.slice(sizes.size() - rank).equals(normalized_shape),
              "qnative::layer_norm: x must be [..., *normalized_shape], got ", sizes, " and ",
              normalized_shape);
  check_affine("weight", weight, normalized_shape, device);
  check_affine("bias", bias, normalized_shape, device);
  check_eps("layer_norm", eps);
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

at::Tensor layer_norm_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                           c10::SymIntArrayRef normalized_shape,
                           const std::optional<at::Tensor>& weight,
                           const std::optional<at::Tensor>& bias, double eps, double y_scale,
                           int64_t y_zero_point, at::ScalarType y_dtype) {
  check_layer_norm(x, x_scale, x_zero_point, normalized_shape, weight, bias, eps, at::kMeta);
  make_output("layer_norm", y_scale, y_zero_point, y_dtype, "none", {}, FloatOutput::kAllowed);
  return at::empty_symint(x.sym_sizes(), x.options().dtype(y_dtype));
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                      at::IntArrayRef normalized_shape, const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, double y_scale,
                      int64_t y_zero_point, at::ScalarType y_dtype) {
  static auto& sum = select(norm::sum_kernels());
  static auto& run_bytes = select(norm::affine_kernels());
  static auto& run_floats = select(norm::affine_float_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_layer_norm(x, x_scale, x_zero_point, normalized_shape, weight, bias, eps, at::kCPU);
  const OutputSpec output =
      make_output("layer_norm", y_scale, y_zero_point, y_dtype, "none", {}, FloatOutput::kAllowed);
  const at::Tensor y = empty(x.sizes(), y_dtype);
  if (y.numel() == 0) return y;
  const int64_t n = c10::multiply_integers(normalized_shape);
  Scratch scratch(2 * Scratch::bytes<float>(n));
  auto* const weights = scratch.take<float>(n);
  auto* const biases = scratch.take<float>(n);
  const auto factor = static_cast<float>(1.0 / output.qparams.scale);
  scaled(weight, factor, factor, n, weights);
  scaled(bias, factor, 0, n, biases);
  const auto dense = x.expect_contiguous();
  const auto* from = static_cast<const uint8_t*>(dense->const_data_ptr());
  const norm::Args args{.x_zero_point = unsigned_zero_point(x_zero_point, x.scalar_type()),
                        .x_flip = flip_of(x.scalar_type()),
                        .requantize = output.is_float() ? Requantize{} : make_requantize(output)};
  run_parts(y.numel() / n, n, kLayerNormGrain, [&](int64_t begin, int64_t end) {
    for (int64_t offset = begin * n; offset < end * n; offset += n) {
      Moments moments;
      sum(from + offset, n, args.x_flip, &moments.sum, &moments.squares);
      const Normalization unit = normalize(moments, n, x_scale, args.x_zero_point, eps);
      const norm::Affine affine{static_cast<float>(unit.scale), static_cast<float>(unit.shift),
                                weights, biases};
      if (output.is_float()) {
        run_floats(args, from + offset, y.mutable_data_ptr<float>() + offset, n, affine);
      } else {
        run_bytes(args, from + offset, static_cast<uint8_t*>(y.mutable_data_ptr()) + offset, n,
                  affine);
      }
    }
  });
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("layer_norm", TORCH_FN(layer_norm)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("layer_norm", TORCH_FN(layer_norm_meta)); }

}  // namespace qnative::ops
