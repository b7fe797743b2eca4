#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Depthwise 2-d convolution of one NHWC image, exact in int32:
//
//   acc[oh][ow][c] = start[c] + sum_{kh, kw} x(oh * stride_h - pad_top + kh * dilation_h, ow *
//   stride_w - pad_left + kw * dilation_w, c)
//                                            * w[c][kh][kw]
//   y[oh][ow][c]   = requantize(fma(float(acc), multiplier[c], bias[c]))
//
// where x outside of the image is pad_value (the zero point of x). With float output y is r clamped
// to [float_lo, float_hi].
namespace qnative::dwconv {

struct Args {
  const uint8_t* x;  // [height][width][channels], dense, any alignment; never read outside
  int64_t height, width, channels;
  uint8_t pad_value;
  uint8_t x_flip;  // 0x80 when x holds int8: every byte read is xored with it (pad_value is not)
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_left;
  int64_t out_h, out_w;
  const int8_t*
      weight;  // gemm::pack(w, channels, kernel_h, kernel_w): [ceil(C/16)][KH][ceil(KW/4)][16][4]
  const int32_t* start;     // [round_up(channels, 16)]
  const float* multiplier;  // [round_up(channels, 16)]
  const float* bias;        // [round_up(channels, 16)]
  void* y;                  // [out_h][out_w][channels], dense; uint8_t, or float when float_output
  bool float_output;
  Requantize requantize;
  float float_lo;
  float float_hi;
};

// Computes output rows [row_begin, row_end). scratch: scratch_size(args) bytes, 64-byte aligned,
// private to the call.
using Fn = void(const Args& args, int64_t row_begin, int64_t row_end, std::byte* scratch);

std::span<const Kernel<Fn>> kernels();

int64_t scratch_size(const Args& args);

}  // namespace qnative::dwconv
