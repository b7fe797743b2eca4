#pragma once

#include <ATen/ATen.h>

#include <array>

#include "common/checks.h"
#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/weight.h"
#include "requantize.h"

// From integer sums to the output: what the kernels need to know about y.
namespace qnative::ops {

struct Output {
  double scale;  // 1 for float32, which makes division by it free of rounding
  int64_t zero_point;
  at::ScalarType dtype;  // uint8, int8 or float32
  Activation activation;

  bool is_float() const { return dtype == at::kFloat; }
};

// All that the schemas say about the output, checked.
Output make_output(const char* op, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
                   std::string_view activation = "none", at::ArrayRef<double> activation_args = {},
                   FloatOutput float_output = FloatOutput::kRefused);

// A ratio of scales as float32; an error when it overflows.
float finite_multiplier(const char* op, double value);

// The range of an 8-bit output, narrowed by its activation.
Requantize make_requantize(const Output& y);

// The bytes of y for the bytes of x, y = requantize(float(x - zero_point) * float(scale /
// y.scale)); nothing where they are the same.
std::optional<std::array<uint8_t, 256>> rescale_table(const char* op, double scale,
                                                      int64_t zero_point, at::ScalarType dtype,
                                                      const Output& y);

// What gemm::Args and dwconv::Args say of each output channel. The channels of a group are padded
// with zeros to layout.padded_n().
struct ChannelParams {
  const int32_t* start;
  const float* multiplier;
  const float* bias;
  bool small;  // gemm::Args::small

  static int64_t bytes(const WeightLayout& layout);  // of Scratch
};

// All but start, of which the memory is as it was: the caller fills it.
struct MutableChannelParams {
  int32_t* start;
  const float* multiplier;
  const float* bias;
  bool small;

  operator ChannelParams() const { return {start, multiplier, bias, small}; }
};
MutableChannelParams make_channel_scales(const char* op, double x_scale, const WeightLayout& layout,
                                         const at::Tensor& weight_scale,
                                         const std::optional<at::Tensor>& bias, const Output& y,
                                         Scratch& scratch);

// x_zero_point: of the uint8 form of x. An error names the first weight_scale that is not positive
// or that makes a multiplier overflow float32.
ChannelParams make_channel_params(const char* op, double x_scale, int32_t x_zero_point,
                                  const at::Tensor& weight, const WeightLayout& layout,
                                  const at::Tensor& weight_scale,
                                  const std::optional<at::Tensor>& bias, const Output& y,
                                  Scratch& scratch);

// The fields of the product that run_convolution() expects. y: the output tensor.
gemm::Args make_product(const at::Tensor& weight, const WeightLayout& layout,
                        const ChannelParams& params, const Output& output, const at::Tensor& y);

}  // namespace qnative::ops
