#pragma once

#include <cstdint>
#include <span>

#include "blocks.h"
#include "float_activation.h"
#include "isa.h"

// Matrix product of float32 rows with packed 4-bit weights. A scale covers a group of consecutive k
// of one column; the last group of a column may be shorter than the others.
//
//   w[n][k] = code[n][k] * scale[n][g], code in [-8, 7], g = k / group
//
// Rows of x are quantized to int8, each of their groups with a scale of its own:
//
//   x_scale[i][g] = max(max |x| / 127, 2^-126), NaN where a value of the group is not finite
//   q[i][k]       = rne(x[i][k] * (1 / x_scale[i][g])), 0 in a group that is not finite
//
// The sums over a group are exact; groups follow in ascending order, each rounded once:
//
//   r = bias[n], then r = fma(float(sum_k q[i][k] * code[n][k]), x_scale[i][g] * scale[n][g], r)
//   y[i][n] = activation(r) clamped to [lo, hi], NaN kept
namespace qnative::gemm_4bit {

constexpr int64_t kMaxGroup = 1 << 20;  // 8 * 127 * kMaxGroup fits in int32

// Packed weight, one layout for every ISA: a panel for 16 columns, zero padded:
//
//   scales  bfloat16 [groups][16], up to whole lines of 64 bytes
//   steps   [steps][16][4] bytes: byte j of a column holds code + 8 of k = j in its low and that of
//           k = 4 + j in its high nibble. A group is padded to whole steps of 8 k.
constexpr int64_t kStepK = 8;
constexpr int64_t kStepBytes = 64;

struct Layout {
  int64_t k, group;  // group <= k

  constexpr int64_t groups() const { return ceil_div(k, group); }
  constexpr int64_t last_group() const { return k - (groups() - 1) * group; }
  constexpr int64_t group_steps() const { return ceil_div(group, kStepK); }
  constexpr int64_t last_steps() const { return ceil_div(last_group(), kStepK); }
  constexpr int64_t steps() const { return (groups() - 1) * group_steps() + last_steps(); }
  constexpr int64_t row_bytes() const { return steps() * kStepK; }  // of quantized x
  constexpr int64_t scale_bytes() const { return round_up(groups() * kPanelColumns * 2, 64); }
  constexpr int64_t panel_bytes() const { return scale_bytes() + steps() * kStepBytes; }
  constexpr int64_t packed_bytes(int64_t n) const {
    return ceil_div(n, kPanelColumns) * panel_bytes();
  }
};

// Quantized rows of x. A group is padded with zeros to whole steps.
struct Rows {
  int8_t* q;       // [m][row_bytes]
  int32_t* start;  // [m][groups], -8 * sum_k q: codes are stored with 8 added
  float* scale;    // [m][groups]
};

struct Args {
  Layout layout;
  Rows x;
  const uint8_t* weight;  // any alignment
  const float* bias;      // [round_up(n, 16)]
  int64_t n;
  float* y;
  int64_t y_stride;  // elements between rows of y
  FloatActivation activation;
  float lo;  // -inf and inf when there is no clamp
  float hi;
};

// Computes rows [m_begin, m_end) and columns [n_begin, min(n_end, n)); n_begin is a multiple of 16.
// Writes no other element of y.
using Fn = void(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end);

// Row i of `rows` from x[0..k).
using QuantizeFn = void(const float* x, const Layout& layout, const Rows& rows, int64_t i);

std::span<const Kernel<Fn>> kernels();
std::span<const Kernel<QuantizeFn>> quantize_kernels();

// Quantization of weights, in float32 with each sum in order: the scale of a group w[0..n) is the
// one of these candidates with the least sum((w - code * scale)^2), the first of equals.
//
//   peak  = max |w|; all numbers are in units of it
//   first = sign * peak / d for d in kDivisors and both signs, as bfloat16
//   then  = sum(code * w) / sum(code^2) of the codes of each of them, as bfloat16
//   code  = rne(clamp(w * (1 / scale), -8, 7))
//
// A scale is at least 2^-126 in magnitude, and 1 where peak is 0.
constexpr int kCandidates = 16;
struct Fit {
  float error[kCandidates], product[kCandidates], square[kCandidates];
};
// The sums of each candidate; scale: [kCandidates], in units of peak.
using FitFn = void(const float* w, int64_t n, float peak, const float* scale, Fit& fit);
std::span<const Kernel<FitFn>> fit_kernels();

// w is finite. scale: the bits of a bfloat16.
void quantize_group(FitFn& fit, const float* w, int64_t n, int8_t* code, uint16_t* scale);

// code: [n][k], each in [-8, 7]; scale: [n][groups]; packed: packed_bytes(n).
void pack(const int8_t* code, const uint16_t* scale, const Layout& layout, int64_t n,
          uint8_t* packed);
void unpack(const uint8_t* packed, const Layout& layout, int64_t n, int8_t* code, uint16_t* scale);

}  // namespace qnative::gemm_4bit
