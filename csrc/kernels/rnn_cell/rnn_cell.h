#pragma once

#include <cstdint>
#include <span>

#include "isa.h"

// One time step of recurrent cells after their matrix products, in float32, for each row and each
// j < hidden. Gate g gets a_g = ih[row][g * gate_stride + j] from the input and b_g =
// hh[row][g * gate_stride + j] from the hidden state. In torch's order of gates:
//
//   lstm:  i, f, o = sigmoid(a_0 + b_0), sigmoid(a_1 + b_1), sigmoid(a_3 + b_3)
//          g       = tanh(a_2 + b_2)
//          c'      = fma(f, c, i * g)          h' = o * tanh(c')
//   gru:   r, z    = sigmoid(a_0 + b_0), sigmoid(a_1 + b_1)
//          n       = tanh(fma(r, b_2, a_2))    h' = fma(z, h - n, n)
//   rnn:   h'      = tanh(a_0 + b_0), or max(a_0 + b_0, 0)
//
// sigmoid and tanh are those of simd/activation.h. NaN stays NaN.
namespace qnative::rnn_cell {

struct Args {
  const float* ih;
  const float* hh;
  float* c;                                                    // lstm only; replaced by c'
  const float* h;                                              // gru only
  float* y;                                                    // becomes h'; may be h itself
  int64_t ih_stride, hh_stride, c_stride, h_stride, y_stride;  // elements between rows
  int64_t gate_stride;                                         // elements between gates of a row
  int64_t hidden;
};

// Rows [begin, end).
using Fn = void(const Args& args, int64_t begin, int64_t end);

std::span<const Kernel<Fn>> lstm_kernels();
std::span<const Kernel<Fn>> gru_kernels();
std::span<const Kernel<Fn>> rnn_tanh_kernels();
std::span<const Kernel<Fn>> rnn_relu_kernels();

}  // namespace qnative::rnn_cell
