#pragma once

#include <cstdint>

#include "gemm/gemm.h"

// Convolution of 8-bit images as matrix products over windows that are read where they lie. A
// linear layer is the convolution of an image of one column with a 1 x 1 window.
namespace qnative::ops {

// 8-bit [images][height][width][channels] of any strides, in bytes.
struct Source {
  const uint8_t* data;
  int64_t images, height, width, channels;
  int64_t image_stride, row_stride, pixel_stride, channel_stride;
  uint8_t flip;       // 0x80 for int8
  uint8_t pad_value;  // of the uint8 form
};

struct Window {
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_left;
  int64_t out_h, out_w;

  int64_t extent_h() const { return (kernel_h - 1) * dilation_h + 1; }
  int64_t extent_w() const { return (kernel_w - 1) * dilation_w + 1; }
  // Input rows and columns that are read, padding included.
  int64_t rows_read(int64_t out_rows) const { return (out_rows - 1) * stride_h + extent_h(); }
  int64_t columns_read() const { return (out_w - 1) * stride_w + extent_w(); }
};

// weight, start, multiplier, bias, n, y, float_output and the fields of the epilogue of `product`
// are set, for the first group; x, offsets and strides are not. What product has for each row is
// for all rows of y, and for one group only. Weights of the groups lie group_weight bytes apart,
// start, multiplier and bias group_params elements apart. y is [images][out_h][out_w][groups * n],
// dense. Nothing may be empty.
struct Convolution {
  Source x;
  Window window;
  int64_t groups;
  int64_t group_weight, group_params;
  gemm::Args product;
};

void run_convolution(const Convolution& convolution);

// 8-bit [m][k] of any strides, in bytes, times weights of one segment: a product as above.
struct Rows {
  const uint8_t* data;
  int64_t m, k;
  int64_t row_stride, k_stride;
  uint8_t flip;
};
void run_rows(const Rows& x, const gemm::Args& product);

}  // namespace qnative::ops
