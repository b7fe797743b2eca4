#pragma once

#include <ATen/ATen.h>

#include "common/output.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/weight.h"

// From integer sums to the output: what the kernels need to know about y.
namespace qnative::ops {

// What gemm::Args and dwconv::Args say of each output channel. The channels of a group are padded
// with zeros to layout.padded_n().
struct ChannelParams {
  const int32_t* start;
  const float* multiplier;
  const float* bias;
  bool small;  // gemm::Args::small

  static int64_t bytes(const WeightLayout& layout);  // of Scratch
};

// The same with start uninitialized: the caller fills it.
struct MutableChannelParams {
  int32_t* start;
  const float* multiplier;
  const float* bias;
  bool small;

  operator ChannelParams() const { return {start, multiplier, bias, small}; }
};
MutableChannelParams make_channel_scales(const char* op, double x_scale, const WeightLayout& layout,
                                         const at::Tensor& weight_scale,
                                         const std::optional<at::Tensor>& bias, const OutputSpec& y,
                                         Scratch& scratch);

// x_zero_point: of the uint8 form of x. An error names the first weight_scale that is not positive
// or that makes a multiplier overflow float32.
ChannelParams make_channel_params(const char* op, double x_scale, int32_t x_zero_point,
                                  const at::Tensor& weight, const WeightLayout& layout,
                                  const at::Tensor& weight_scale,
                                  const std::optional<at::Tensor>& bias, const OutputSpec& y,
                                  Scratch& scratch);

inline ChannelParams make_channel_params(const char* op, const QParams& x, const PackedWeight& w,
                                         const WeightLayout& layout, const OutputSpec& y,
                                         Scratch& scratch) {
  return make_channel_params(op, x.scale, static_cast<int32_t>(x.zero_point), w.data, layout,
                             w.scale, w.bias, y, scratch);
}

// The fields of the product that run_convolution() expects. y: the output tensor.
gemm::Args make_product(const at::Tensor& weight, const WeightLayout& layout,
                        const ChannelParams& params, const OutputSpec& output, const at::Tensor& y);

inline gemm::Args make_product(const PackedWeight& w, const WeightLayout& layout,
                               const ChannelParams& params, const OutputSpec& output,
                               const at::Tensor& y) {
  return make_product(w.data, layout, params, output, y);
}

}  // namespace qnative::ops
