#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Depthwise convolution of one NDHWC image, one slice of y at a time, exact in int32:
//
// clang-format off
//   acc[oh][ow][c] = start[c] + sum_{kd, kh, kw}
//                      x(first_slice + kd * dilation_d,
//                        oh * stride_h - pad_top + kh * dilation_h,
//                        ow * stride_w - pad_left + kw * dilation_w, c) * w[c][kd][kh][kw]
//   r              = fma(float(acc), multiplier[c], bias[c])
//   y[oh][ow][c]   = requantize(r), or for float output r clamped to [float_lo, float_hi]
// clang-format on
//
// x outside the image is pad_value, the zero point of x. A 2-d image has one slice.
namespace qnative::dwconv {

struct Args {
  const uint8_t* x;  // [depth][height][width][channels], dense, any alignment; never read outside
  int64_t depth, height, width, channels;
  uint8_t pad_value;
  uint8_t x_flip;  // 0x80 when x holds int8: xored with every byte of x, not with pad_value
  int64_t kernel_d, kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_d, dilation_h, dilation_w;
  int64_t first_slice;        // may be outside x
  int64_t pad_top, pad_left;  // negative: rows and columns are skipped
  int64_t out_h, out_w;
  // gemm::pack(w, channels, kernel_d * kernel_h, kernel_w):
  // [ceil(C/16)][KD * KH][ceil(KW/4)][16][4]
  const int8_t* weight;
  const int32_t* start;     // [round_up(channels, 16)]
  const float* multiplier;  // [round_up(channels, 16)]
  const float* bias;        // [round_up(channels, 16)]
  void* y;                  // [out_h][out_w][channels]; uint8_t, or float when float_output
  int64_t y_row, y_pixel;   // elements between rows of y, and between pixels of a row
  bool float_output;
  Requantize requantize;
  float float_lo;
  float float_hi;
  bool small = false;  // every multiplier and bias is small in the sense of requantize.h
};

// Computes output rows [row_begin, row_end). scratch: scratch_size(args) bytes, 64-byte aligned,
// private to the call.
using Fn = void(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch);

std::span<const Kernel<Fn>> kernels();

int64_t scratch_size(const Args& args);

}  // namespace qnative::dwconv
