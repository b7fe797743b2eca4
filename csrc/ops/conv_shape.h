#pragma once

#include <ATen/ATen.h>

#include <string_view>

#include "checks.h"
#include "weight.h"

// Arguments of 2-d convolutions, checked, and the shape they lead to.
namespace qnative::ops {

struct ConvPadding {
  int64_t top, bottom, left, right;
};

struct ConvArgs {
  ConvWeight weight;
  Pair<int64_t> stride, dilation;
  ConvPadding padding;

  int64_t extent_h() const { return (weight.kernel_h - 1) * dilation.h + 1; }
  int64_t extent_w() const { return (weight.kernel_w - 1) * dilation.w + 1; }
};

ConvArgs conv_args(const char* op, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups);
// padding: "valid" or "same"
ConvArgs conv_args(const char* op, at::IntArrayRef weight_shape, at::IntArrayRef stride,
                   std::string_view padding, at::IntArrayRef dilation, int64_t groups);

// [N, O, OH, OW], N = 1 for x of three dimensions.
template <class Int>
std::array<Int, 4> conv_sizes(const char* op, at::ArrayRef<Int> x_sizes, const ConvArgs& args);

}  // namespace qnative::ops
