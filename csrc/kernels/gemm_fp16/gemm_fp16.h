#pragma once

#include <cstdint>
#include <span>

#include "float_activation.h"
#include "isa.h"

// Matrix product of float32 rows with packed half-precision weights, in float32. Every ISA sums
// over k in order, so that the bits are equal:
//
//   acc     = 0, then acc = fma(x[i][k], float(w[n][k]), acc) for k = 0, 1, ...
//   y[i][n] = activation(acc + bias[n]) clamped to [lo, hi], NaN kept; rounded to half for
//             half_output, where NaN is 0x7e00
namespace qnative::gemm_fp16 {

struct Args {
  const float* x;
  int64_t x_stride;
  int64_t k;
  const uint16_t* weight;  // as packed by pack()
  const float* bias;       // [round_up(n, 16)]
  int64_t n;
  void* y;           // float, or uint16_t (the bits of halves) when half_output
  int64_t y_stride;  // elements between rows of y
  bool half_output;
  FloatActivation activation;
  float lo;  // -inf and inf when there is no clamp
  float hi;
};

// Computes rows [m_begin, m_end) and columns [n_begin, min(n_end, n)); n_begin is a multiple of 16.
// Writes no other element of y.
using Fn = void(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end);

// y[i] = float(x[i])
using WidenFn = void(const uint16_t* x, float* y, int64_t n);

std::span<const Kernel<Fn>> kernels();
std::span<const Kernel<WidenFn>> widen_kernels();

// Packed weight, one layout for every ISA: [ceil(n/16)][k][16], zero padded.
int64_t packed_size(int64_t n, int64_t k);  // elements

// weight: [n][k] of these strides; packed: packed_size() elements.
void pack(const uint16_t* weight, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
          uint16_t* packed);
// weight: contiguous [n][k].
void unpack(const uint16_t* packed, int64_t n, int64_t k, uint16_t* weight);

}  // namespace qnative::gemm_fp16
