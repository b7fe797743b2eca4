#pragma once

#include <ATen/ATen.h>

#include "conv/image.h"
#include "conv/plan.h"

// Planned convolutions of 8-bit images.
namespace qnative::ops {

// A plan, and how the kernels see it. The window of transposed convolutions means nothing: theirs
// have several.
struct ConvSteps {
  explicit ConvSteps(const ConvPlan<int64_t>& plan);

  ConvPlan<int64_t> plan;
  Window window;
  WeightLayout layout;
  std::vector<int64_t> tables = {};  // of a plan that is kept: Convolution::tables
};

// The tables for x of this layout, from to_image().
std::vector<int64_t> conv_tables(const ConvSteps& steps, const at::Tensor& x);

// x: from to_image(), with any number of images. product: from make_product(); its y is the first
// of as many images as the kernels write them, y_strides those of empty_output().
void run_conv(const ConvSteps& steps, const at::Tensor& x, int64_t x_zero_point, gemm::Args product,
              const OutputStrides& y_strides);

// The same for transposed convolutions. start: that of product, which is filled here.
struct TransposeCall {
  const ConvPlan<int64_t>& plan;
  const at::Tensor& x;
  int64_t x_zero_point;
  gemm::Args product;
  int32_t* start;
  OutputStrides y_strides;
};
void run_conv_transpose(const TransposeCall& call);

}  // namespace qnative::ops
