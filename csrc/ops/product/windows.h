#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gemm/gemm.h"

// Convolution of 8-bit images as matrix products over windows that are read where they lie
// (implicit gemm). Rows are shared out to tasks, columns are not: a convolution of one dimension
// should have windows of one column.
namespace qnative::ops {

// 8-bit [images][depth][height][width][channels] of any strides, in bytes.
struct Source {
  const uint8_t* data;
  int64_t images;
  int64_t depth = 1;
  int64_t height, width, channels;
  int64_t image_stride;
  int64_t slice_stride = 0;
  int64_t row_stride, pixel_stride, channel_stride;
  uint8_t flip;       // 0x80 for int8
  uint8_t pad_value;  // of the uint8 form
};

struct Window {
  int64_t kernel_d = 1, kernel_h, kernel_w;
  int64_t stride_d = 1, stride_h, stride_w;
  int64_t dilation_d = 1, dilation_h, dilation_w;
  int64_t pad_front = 0, pad_top, pad_left;  // negative: slices, rows and columns left out
  int64_t out_d = 1, out_h, out_w;

  int64_t taps() const { return kernel_d * kernel_h * kernel_w; }
  int64_t extent_d() const { return (kernel_d - 1) * dilation_d + 1; }
  int64_t extent_h() const { return (kernel_h - 1) * dilation_h + 1; }
  int64_t extent_w() const { return (kernel_w - 1) * dilation_w + 1; }
  // Input slices, rows and columns that are read, padding included.
  int64_t slices_read() const { return (out_d - 1) * stride_d + extent_d(); }
  int64_t rows_read(int64_t out_rows) const { return (out_rows - 1) * stride_h + extent_h(); }
  int64_t columns_read() const { return (out_w - 1) * stride_w + extent_w(); }
};

// Elements between neighbours in y.
struct OutputStrides {
  int64_t image, slice, row, pixel;
};

// product: all fields for the first group, but x, offsets, segments and strides, and nothing for
// each row. Weights of the groups lie group_weight bytes apart, start, multiplier and bias
// group_params elements apart. A segment of the packed weight has the taps of a row of the window,
// or of all of a window of one column, or one tap; a window without taps has no segment. y is
// [images][out_d][out_h][out_w][groups * n]. Nothing else may be empty.
struct Convolution {
  Source x;
  Window window;
  int64_t groups;
  int64_t group_weight, group_params;
  int64_t segment_taps = 1;
  std::optional<OutputStrides> y_strides = std::nullopt;  // none: dense
  // From window_tables() of a convolution that differs in images, data and parameters alone; null:
  // made for this call.
  const int64_t* tables = nullptr;
  gemm::Args product;
};

void run_windows(Convolution& convolution);  // changes it

// The offsets of rows, segments and taps that run_windows() reads; empty where it needs none. Of
// product, only n and float_output matter.
std::vector<int64_t> window_tables(Convolution convolution);

}  // namespace qnative::ops
