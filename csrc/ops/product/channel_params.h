#pragma once

#include <ATen/ATen.h>

#include "common/output.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/weight.h"

// From integer sums to the output: the parameters of y for the kernels.
namespace qnative::ops {

// The arrays over output channels of gemm::Args and dwconv::Args. The channels of a group are
// padded with zeros to layout.padded_n().
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
MutableChannelParams make_channel_scales(const char* op, double x_scale, const PackedWeight& w,
                                         const WeightLayout& layout, const OutputSpec& y,
                                         Scratch& scratch);

// x: the qparams of its uint8 form. An error names the first scale of w that is not positive or
// that makes a multiplier overflow float32.
ChannelParams make_channel_params(const char* op, const QParams& x, const PackedWeight& w,
                                  const WeightLayout& layout, const OutputSpec& y,
                                  Scratch& scratch);

// The fields that run_rows(), run_windows() and run_depthwise() expect. y: the output tensor.
gemm::Args make_product(const PackedWeight& w, const WeightLayout& layout,
                        const ChannelParams& params, const OutputSpec& output, const at::Tensor& y);

}  // namespace qnative::ops
