#include "product/channel_params.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "channel_params/channel_params.h"
#include "common/dispatch.h"

namespace qnative::ops {
namespace {

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

int64_t ChannelParams::bytes(const WeightLayout& layout) {
  const int64_t channels = layout.groups * layout.padded_n();
  return Scratch::bytes<int32_t>(channels) + 2 * Scratch::bytes<float>(channels);
}

MutableChannelParams make_channel_scales(const char* op, double x_scale, const PackedWeight& w,
                                         const WeightLayout& layout, const OutputSpec& y,
                                         Scratch& scratch) {
  const int64_t n = layout.n, padded_n = layout.padded_n();
  int32_t* const starts = scratch.take<int32_t>(layout.groups * padded_n);
  float* const multipliers = scratch.take<float>(layout.groups * padded_n);
  float* const biases = scratch.take<float>(layout.groups * padded_n);
  const auto dense_scale = w.scale.expect_contiguous();
  const auto dense_bias = w.bias ? w.bias->expect_contiguous() : c10::MaybeOwned<at::Tensor>();
  static auto& run = select(channel_params::scale_kernels());
  bool small = true;
  for (int64_t g = 0; g < layout.groups; ++g) {
    const float* const scale = dense_scale->const_data_ptr<float>() + g * n;
    float* const multiplier = multipliers + g * padded_n;
    float* const b = biases + g * padded_n;
    const channel_params::Summary summary =
        run({.weight_scale = scale,
             .real_bias = w.bias ? (*dense_bias).const_data_ptr<float>() + g * n : nullptr,
             .n = n,
             .x_scale = x_scale,
             .y_scale = output_qparams(y).scale,
             .multiplier = multiplier,
             .bias = b});
    if (!summary.valid) refuse_scales(op, scale, multiplier, n, g * n);
    small &= summary.small;
    std::fill(multiplier + n, multiplier + padded_n, 0.0f);
    std::fill(b + n, b + padded_n, 0.0f);
  }
  return {starts, multipliers, biases, small};
}

ChannelParams make_channel_params(const char* op, const QParams& x, const PackedWeight& w,
                                  const WeightLayout& layout, const OutputSpec& y,
                                  Scratch& scratch) {
  const MutableChannelParams params = make_channel_scales(op, x.scale, w, layout, y, scratch);
  const auto x_zero_point = static_cast<int32_t>(x.zero_point);
  const int64_t padded_n = layout.padded_n();
  for (int64_t g = 0; g < layout.groups; ++g) {
    int32_t* start = params.start + g * padded_n;
    // Copied as bytes: a weight that is a view may lie at any address.
    std::memcpy(start,
                w.data.const_data_ptr<int8_t>() + g * layout.group_bytes() + layout.panel_bytes(),
                padded_n * sizeof(int32_t));
    // Sums of damaged weights may overflow: unsigned numbers wrap.
    for (int64_t i = 0; i < padded_n; ++i) {
      start[i] = static_cast<int32_t>(static_cast<uint32_t>(start[i]) *
                                      static_cast<uint32_t>(-x_zero_point));
    }
  }
  return params;
}

gemm::Args make_product(const PackedWeight& w, const WeightLayout& layout,
                        const ChannelParams& params, const OutputSpec& output,
                        const at::Tensor& y) {
  gemm::Args args{};
  args.weight = w.data.const_data_ptr<int8_t>();
  args.start = params.start;
  args.multiplier = params.multiplier;
  args.bias = params.bias;
  args.small = params.small;
  args.n = layout.n;
  args.y = y.mutable_data_ptr();
  args.float_output = output.is_float();
  args.word_output = is_word(output.dtype);
  if (!output.is_float()) args.requantize = make_requantize(output);
  args.float_lo = static_cast<float>(output.activation.min);
  args.float_hi = static_cast<float>(output.activation.max);
  args.activation = output.activation.function;
  return args;
}

}  // namespace qnative::ops
