#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "blocks.h"
#include "common.h"
#include "dwconv/dwconv.h"
#include "gemm/gemm.h"

// Problems for the kernels of dwconv.
namespace qnative::dwconv {
namespace {

using test::Random;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  int64_t channels = 1, height = 1, width = 1;
  int64_t kernel_h = 3, kernel_w = 3;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  int64_t depth = 1, kernel_d = 1, dilation_d = 1, first_slice = 0;
  int64_t y_gap = 0, y_row_gap = 0;  // elements between pixels and between rows of y

  int64_t out_h() const {
    return out(height + pad_top + pad_bottom, kernel_h, stride_h, dilation_h);
  }
  int64_t out_w() const {
    return out(width + pad_left + pad_right, kernel_w, stride_w, dilation_w);
  }
  int64_t x_size() const { return depth * height * width * channels; }
  int64_t taps() const { return kernel_d * kernel_h * kernel_w; }
  bool has_gaps() const { return y_gap > 0 || y_row_gap > 0; }
  int64_t y_pixel() const { return channels + y_gap; }
  int64_t y_row() const { return out_w() * y_pixel() + y_row_gap; }
  int64_t y_size() const { return out_h() * y_row(); }

 private:
  static int64_t out(int64_t size, int64_t kernel, int64_t stride, int64_t dilation) {
    const int64_t room = size - (kernel - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};

[[maybe_unused]] std::string to_string(const Shape& s) {
  std::ostringstream text;
  text << "channels " << s.channels << " image " << s.height << "x" << s.width << " kernel "
       << s.kernel_h << "x" << s.kernel_w << " stride " << s.stride_h << "x" << s.stride_w
       << " dilation " << s.dilation_h << "x" << s.dilation_w << " padding " << s.pad_top << ","
       << s.pad_bottom << "," << s.pad_left << "," << s.pad_right << " depth " << s.depth
       << " kernel " << s.kernel_d << " dilation " << s.dilation_d << " first " << s.first_slice
       << " gaps " << s.y_gap << "," << s.y_row_gap;
  return text.str();
}

[[maybe_unused]] Shape square(int64_t channels, int64_t size, int64_t kernel, int64_t stride) {
  const int64_t pad = kernel / 2;
  return {.channels = channels,
          .height = size,
          .width = size,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .pad_top = pad,
          .pad_bottom = pad,
          .pad_left = pad,
          .pad_right = pad};
}

// All data of a call. The multipliers spread the sums of random data over 8 bits.
struct Problem {
  Problem(const Shape& s, uint64_t seed) : shape(s) {
    Random random(seed);
    const int64_t taps = s.taps();
    const int64_t padded = round_up(s.channels, kPanelColumns);
    x = random.full_range<uint8_t>(s.x_size());
    weight = random.full_range<int8_t>(s.channels * taps);
    start = random.vector<int32_t>(padded, -20000, 20000);
    const float scale = 1.0F / (60.0F * std::sqrt(static_cast<float>(taps)));
    multiplier = random.vector<float>(padded, 0.1F * scale, scale);
    bias.resize(padded);
    for (float& b : bias) b = static_cast<float>(random.uniform(-10000, 10000)) / 256;
    requantize.zero_point = seed % 2 == 0 ? 0 : 100;
  }

  void pack_weight() {
    const int64_t rows = shape.kernel_d * shape.kernel_h;
    packed.resize(gemm::packed_size(shape.channels, rows, shape.kernel_w));
    gemm::pack(weight.data(), shape.channels, rows, shape.kernel_w, packed.data());
  }

  Args args(const uint8_t* x_data, void* y) const {
    return {.x = x_data,
            .depth = shape.depth,
            .height = shape.height,
            .width = shape.width,
            .channels = shape.channels,
            .pad_value = pad_value,
            .x_flip = x_flip,
            .kernel_d = shape.kernel_d,
            .kernel_h = shape.kernel_h,
            .kernel_w = shape.kernel_w,
            .stride_h = shape.stride_h,
            .stride_w = shape.stride_w,
            .dilation_d = shape.dilation_d,
            .dilation_h = shape.dilation_h,
            .dilation_w = shape.dilation_w,
            .first_slice = shape.first_slice,
            .pad_top = shape.pad_top,
            .pad_left = shape.pad_left,
            .out_h = shape.out_h(),
            .out_w = shape.out_w(),
            .weight = packed.data(),
            .start = start.data(),
            .multiplier = multiplier.data(),
            .bias = bias.data(),
            .y = y,
            .y_row = shape.y_row(),
            .y_pixel = shape.y_pixel(),
            .float_output = false,
            .requantize = requantize,
            .float_lo = float_lo,
            .float_hi = float_hi,
            .small = small};
  }

  bool is_small() const {
    return std::ranges::all_of(multiplier,
                               [](float m) { return std::abs(m) <= kSmallMultiplier; }) &&
           std::ranges::all_of(bias, [](float b) { return std::abs(b) <= kSmallBias; });
  }

  Shape shape;
  std::vector<uint8_t> x;
  std::vector<int8_t> weight, packed;  // weight: [channels][KD][KH][KW]
  std::vector<int32_t> start;
  std::vector<float> multiplier, bias;
  uint8_t pad_value = 113, x_flip = 0;
  Requantize requantize = {.zero_point = 0, .lo = 0, .hi = 255, .flip = 0};
  float float_lo = -kInf, float_hi = kInf;
  bool small = false;
};

}  // namespace
}  // namespace qnative::dwconv
