#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Attention between its two integer products, which are gemm's: queries times keys, and
// probabilities times values. Both take their right side as panels/panels.h packs it.
//
// Any alignment, unless a function says otherwise.
namespace qnative::attention {

// Rows of scores and of probabilities are padded to whole blocks.
inline constexpr int64_t kBlock = 64;

// Integer scores of one query to probabilities in 16 bits, relative to the largest of them. With
// s[t] = float(x[t]) * scale + mask[t], or float(x[t]) * scale without mask, for t < n, and M the
// largest s[t]:
//
//   p[t]    = rne(65535 * exp(s[t] - M)), rounded once; exp as in simd/activation.h
//   high[t] = p[t] >> 8        low[t] = p[t] & 255        both 0 for n <= t < width
//
// Returns the sum of p: 0 when M is -infinity, and kNanRow when an s[t] is NaN or +infinity; p is 0
// then. width: a multiple of kBlock, not below n and at most 2^18. x: width numbers, which are
// overwritten. mask: n floats or null.
inline constexpr int64_t kNanRow = -1;
using ProbabilitiesFn = int64_t(int32_t* x, float scale, const float* mask, int64_t n,
                                int64_t width, uint8_t* high, uint8_t* low);

// A row of y from the sums of its two bytes with the values:
//
//   r[n] = fma(float(256 * high[n] + low[n]), multiplier * scale[n], bias[n])
//   y[n] = requantize(r[n]), or r[n] itself
struct Combine {
  const float* scale;  // [n]
  const float* bias;   // [n]
  Requantize requantize;
};
using CombineFn = void(const Combine& args, const int32_t* high, const int32_t* low,
                       float multiplier, uint8_t* y, int64_t n);
using CombineFloatFn = void(const Combine& args, const int32_t* high, const int32_t* low,
                            float multiplier, float* y, int64_t n);

// float32 [rows][n], rows `stride` elements apart.
struct Floats {
  const float* data;
  int64_t rows, n;
  int64_t stride;
};

// A scale for each column. With low and high the smallest and the largest of x[r][c] over r and
// half = high * 0.5 - low * 0.5:
//
//   low[c]     = low, a zero as +0
//   scale[c]   = max(half / 127.5, 2^-126)      inverse[c] = 1 / scale[c]
//   shift[c]   = -low * inverse[c]
//
// Scale and inverse are 0 where half is; all four are NaN, with the bits of 0x7fc00000, when an
// x[r][c] is NaN or infinite. At least one row.
struct Columns {
  float *low, *scale, *inverse, *shift;  // [n]
};
using MeasureColumnsFn = void(const Floats& x, const Columns& to);

// y[r][c] = requantize(fma(x[r][c], inverse[c], shift[c])) with zero point 0, within 0..255; NaN
// becomes 255. Rows of y are y_stride bytes apart; nothing between them is written.
using QuantizeColumnsFn = void(const Floats& x, const Columns& columns, uint8_t* y,
                               int64_t y_stride);

// Rows with a scale and a zero point each. With v[c] = x[r][c] * factor[c], low = min(v, 0) and
// high = max(v, 0) over c:
//
//   scale[r]      = max(float((high - low) / 255), 2^-126)
//   zero_point[r] = min(rne(-low * float(1 / scale[r])), 255), stored negated
//   y[r][c]       = clamp(rne(v[c] * float(1 / scale[r])) + zero_point[r], 0, 255)
//
// A row with a v that is not finite gets scale NaN, zero point 0 and zeros. n >= 1.
struct QuantizedRows {
  uint8_t* y;
  int64_t y_stride;  // bytes; not below n
  float* scale;
  int32_t* zero_point;
};
using QuantizeRowsFn = void(const Floats& x, const float* factor, const QuantizedRows& to);

// Attention in float32, for queries that are too few to pay for quantizing keys and values:
//
//   s[t] = (sum_c q[c] * k[t][c]) * scale + mask[t]
//          the sum in kLanes lanes, c in lane c % kLanes, each a chain of fma; then the upper half
//          of the lanes is added to the lower one until one is left
//   e[t] = exp(s[t] - M), M the largest s[t]; 0 for keys that the row does not see
//   y[n] = a * (1 / sum of e, in lanes as above), a = 0, then fma(e[t], v[t][n], a), t in order
//
// y is 0 where M is -infinity or there are no keys, and NaN where an s[t] is NaN or +infinity.
// Every NaN is 0x7fc00000.
inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kMaxRows = 4;
struct FloatRows {
  Floats q;                  // kMaxRows rows at most
  const float* const* mask;  // [q.rows], each of as many floats as its row has keys, or null
  const int64_t* keys;       // [q.rows], how many keys a row sees
  Floats k, v;               // k.rows == v.rows, at least the largest of keys
  float scale;
  float* y;
  int64_t y_stride;
};
// scratch: q.rows * round_up(k.rows, kBlock) floats.
using FloatRowsFn = void(const FloatRows& args, float* scratch);

std::span<const Kernel<ProbabilitiesFn>> probabilities_kernels();
std::span<const Kernel<CombineFn>> combine_kernels();
std::span<const Kernel<CombineFloatFn>> combine_float_kernels();
std::span<const Kernel<MeasureColumnsFn>> measure_columns_kernels();
std::span<const Kernel<QuantizeColumnsFn>> quantize_columns_kernels();
std::span<const Kernel<QuantizeRowsFn>> quantize_rows_kernels();
std::span<const Kernel<FloatRowsFn>> float_rows_kernels();

}  // namespace qnative::attention
