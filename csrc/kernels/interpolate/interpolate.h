#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Resampling of images, one row of pixels at a time: along the row, then across rows and planes.
// The caller gives the positions and weights of the taps.
//
// chain(a, w) is the sum of a[k] * w[k] in float32: the first product, then one fma for each of the
// others, in the order of k.
namespace qnative::interpolate {

// Kernels may write so many floats past the end of a buffer of floats.
inline constexpr int64_t kSlack = 64;

struct RowArgs {
  int64_t pixels;        // of x
  int64_t outputs;       // pixels of t
  int64_t channels;      // contiguous in every pixel
  int32_t zero_point;    // of the uint8 form; RowFn only
  uint8_t flip;          // 0x80 for int8 x; RowFn only
  int taps;              // per output: 1, 2 or 4
  const int32_t* index;  // [outputs][taps] pixels of x
  const float* weight;   // [outputs][taps]
};
// t[o * channels + c] =
//   chain(float((x[index[o][k] * channels + c] ^ flip) - zero_point), weight[o][k])
// wide: pixels * channels floats of scratch.
using RowFn = void(const RowArgs& args, const uint8_t* x, float* wide, float* t);
// The same over float(x[...]) of halves.
using RowFp16Fn = void(const RowArgs& args, const uint16_t* x, float* wide, float* t);

struct ColumnArgs {
  int rows, planes;           // 1 x 1, 2 x 1, 4 x 1 or 2 x 2
  const float* const* t;      // [planes][rows]
  const float* row_weight;    // [rows]
  const float* plane_weight;  // [planes]
  float multiplier;           // ColumnFn only
  Requantize requantize;      // ColumnFn only
};
// s[i] = chain over planes p of (chain over rows j of (t[p][j][i], row_weight[j]), plane_weight[p])
// y[i] = requantize(s[i] * multiplier)
using ColumnFn = void(const ColumnArgs& args, int64_t n, uint8_t* y);
// y[i] = half(s[i]), NaN as 0x7e00
using ColumnFp16Fn = void(const ColumnArgs& args, int64_t n, uint16_t* y);

std::span<const Kernel<RowFn>> row_kernels();
std::span<const Kernel<ColumnFn>> column_kernels();
std::span<const Kernel<RowFp16Fn>> row_fp16_kernels();
std::span<const Kernel<ColumnFp16Fn>> column_fp16_kernels();

}  // namespace qnative::interpolate
