#include "product/epilogue.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "channel_params/channel_params.h"
#include "common/dispatch.h"

namespace qnative::ops {
namespace {

// The same steps as for a sum: divide in double, round to float32, requantize.
int32_t quantized_bound(double bound, const Output& y) {
  const Range range = range_of(y.dtype);
  const auto zero_point = unsigned_zero_point(y.zero_point, y.dtype);
  if (std::isinf(bound)) {
    return static_cast<int32_t>((bound < 0 ? range.min : range.max) - y.zero_point) + zero_point;
  }
  const float r = static_cast<float>(bound / y.scale);
  const float lowest = static_cast<float>(range.min - y.zero_point);
  const float highest = static_cast<float>(range.max - y.zero_point);
  return static_cast<int32_t>(std::nearbyint(std::clamp(r, lowest, highest))) + zero_point;
}

// Names the first channel whose scale or multiplier is not valid.
void refuse_scales(const char* op, const float* weight_scale, const float* multiplier, int64_t n,
                   int64_t first_channel) {
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(weight_scale[i] > 0 && std::isfinite(weight_scale[i]), "qnative::", op,
                ": weight_scale must be positive and finite, got ", weight_scale[i],
                " for output channel ", first_channel + i);
    TORCH_CHECK(std::isfinite(multiplier[i]), "qnative::", op,
                ": x_scale * weight_scale / y_scale overflows float32 for output channel ",
                first_channel + i);
  }
}

}  // namespace

Output make_output(const char* op, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                   std::string_view activation, at::ArrayRef<double> activation_args,
                   FloatOutput float_output) {
  check_output(op, y_scale, y_zero_point, y_dtype, float_output);
  const Activation bounds = parse_activation(op, activation, activation_args);
  if (y_dtype == at::kFloat) return {1.0, 0, y_dtype, bounds};
  return {y_scale, y_zero_point, y_dtype, bounds};
}

float finite_multiplier(const char* op, double value) {
  const auto multiplier = static_cast<float>(value);
  TORCH_CHECK(std::isfinite(multiplier), "qnative::", op,
              ": the ratio of the scales overflows float32, got ", value);
  return multiplier;
}

Requantize make_requantize(const Output& y) {
  return {.zero_point = unsigned_zero_point(y.zero_point, y.dtype),
          .lo = quantized_bound(y.activation.min, y),
          .hi = quantized_bound(y.activation.max, y),
          .flip = flip_of(y.dtype)};
}

std::optional<std::array<uint8_t, 256>> rescale_table(const char* op, double scale,
                                                      int64_t zero_point, at::ScalarType dtype,
                                                      const Output& y) {
  if (scale == y.scale && zero_point == y.zero_point && dtype == y.dtype) return std::nullopt;
  const Requantize q = make_requantize(y);
  const float multiplier = finite_multiplier(op, scale / y.scale);
  std::array<uint8_t, 256> table;
  for (int32_t byte = 0; byte < 256; ++byte) {
    const int32_t value = (byte ^ flip_of(dtype)) - unsigned_zero_point(zero_point, dtype);
    table[byte] = requantize(static_cast<float>(value) * multiplier, q);
  }
  return table;
}

int64_t ChannelParams::bytes(const WeightLayout& layout) {
  const int64_t channels = layout.groups * layout.padded_n();
  return Scratch::bytes<int32_t>(channels) + 2 * Scratch::bytes<float>(channels);
}

MutableChannelParams make_channel_scales(const char* op, double x_scale, const WeightLayout& layout,
                                         const at::Tensor& weight_scale,
                                         const std::optional<at::Tensor>& bias, const Output& y,
                                         Scratch& scratch) {
  const int64_t n = layout.n, padded_n = layout.padded_n();
  int32_t* const starts = scratch.take<int32_t>(layout.groups * padded_n);
  float* const multipliers = scratch.take<float>(layout.groups * padded_n);
  float* const biases = scratch.take<float>(layout.groups * padded_n);
  const auto dense_scale = weight_scale.expect_contiguous();
  const auto dense_bias = bias ? bias->expect_contiguous() : c10::MaybeOwned<at::Tensor>();
  static auto& run = select(channel_params::scale_kernels());
  bool small = true;
  for (int64_t g = 0; g < layout.groups; ++g) {
    const float* const scale = dense_scale->const_data_ptr<float>() + g * n;
    float* const multiplier = multipliers + g * padded_n;
    float* const b = biases + g * padded_n;
    const channel_params::Summary summary =
        run({.weight_scale = scale,
             .real_bias = bias ? (*dense_bias).const_data_ptr<float>() + g * n : nullptr,
             .n = n,
             .x_scale = x_scale,
             .y_scale = y.scale,
             .multiplier = multiplier,
             .bias = b});
    if (!summary.valid) refuse_scales(op, scale, multiplier, n, g * n);
    small &= summary.small;
    std::fill(multiplier + n, multiplier + padded_n, 0.0f);
    std::fill(b + n, b + padded_n, 0.0f);
  }
  return {starts, multipliers, biases, small};
}

ChannelParams make_channel_params(const char* op, double x_scale, int32_t x_zero_point,
                                  const at::Tensor& weight, const WeightLayout& layout,
                                  const at::Tensor& weight_scale,
                                  const std::optional<at::Tensor>& bias, const Output& y,
                                  Scratch& scratch) {
  const MutableChannelParams params =
      make_channel_scales(op, x_scale, layout, weight_scale, bias, y, scratch);
  const int64_t padded_n = layout.padded_n();
  for (int64_t g = 0; g < layout.groups; ++g) {
    int32_t* start = params.start + g * padded_n;
    // Copied as bytes: a weight that is a view may lie at any address.
    std::memcpy(start,
                weight.const_data_ptr<int8_t>() + g * layout.group_bytes() + layout.panel_bytes(),
                padded_n * sizeof(int32_t));
    for (int64_t i = 0; i < padded_n; ++i) start[i] *= -x_zero_point;
  }
  return params;
}

gemm::Args make_product(const at::Tensor& weight, const WeightLayout& layout,
                        const ChannelParams& params, const Output& output, const at::Tensor& y) {
  gemm::Args args{};
  args.weight = weight.const_data_ptr<int8_t>();
  args.start = params.start;
  args.multiplier = params.multiplier;
  args.bias = params.bias;
  args.small = params.small;
  args.n = layout.n;
  args.y = y.mutable_data_ptr();
  args.float_output = output.is_float();
  if (!output.is_float()) args.requantize = make_requantize(output);
  args.float_lo = static_cast<float>(output.activation.min);
  args.float_hi = static_cast<float>(output.activation.max);
  args.activation = output.activation.function;
  return args;
}

}  // namespace qnative::ops
