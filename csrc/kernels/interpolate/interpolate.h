#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Resampling of images, one row of pixels at a time: along the row, then across rows and planes.
// Where the taps lie and what they weigh is the caller's business.
//
// chain(a, w) is the sum of the products a[k] * w[k] as float32: the first product, to which the
// others are added by one fma each, in the order of k.
namespace qnative::interpolate {

// Buffers of floats have room for so many more after their end, which kernels may write.
inline constexpr int64_t kSlack = 64;

struct RowArgs {
  int64_t pixels;        // of x
  int64_t outputs;       // pixels of t
  int64_t channels;      // contiguous in every pixel
  int32_t zero_point;    // of bytes, as is flip
  uint8_t flip;          // 0x80 for int8 x; zero_point is that of the uint8 tensor
  int taps;              // 1, 2 or 4 an output
  const int32_t* index;  // [outputs][taps] pixels of x
  const float* weight;   // [outputs][taps]
};
// t[o * channels + c] = chain(float((x[index[o][k] * channels + c] ^ flip) - zero_point),
// weight[o][k]). wide: pixels * channels floats of scratch.
using RowFn = void(const RowArgs& args, const uint8_t* x, float* wide, float* t);
// The same of float(x[...]), halves.
using RowFp16Fn = void(const RowArgs& args, const uint16_t* x, float* wide, float* t);

struct ColumnArgs {
  int rows, planes;           // 1 x 1, 2 x 1, 4 x 1 or 2 x 2
  const float* const* t;      // [planes][rows]
  const float* row_weight;    // [rows]
  const float* plane_weight;  // [planes]
  float multiplier;           // to bytes, as is requantize
  Requantize requantize;
};
// y[i] = requantize(chain over planes of (chain over rows of t[p][j][i], row_weight),
// plane_weight) * multiplier)
using ColumnFn = void(const ColumnArgs& args, int64_t n, uint8_t* y);
// y[i] = half(chain of chains), NaN as 0x7e00
using ColumnFp16Fn = void(const ColumnArgs& args, int64_t n, uint16_t* y);

std::span<const Kernel<RowFn>> row_kernels();
std::span<const Kernel<ColumnFn>> column_kernels();
std::span<const Kernel<RowFp16Fn>> row_fp16_kernels();
std::span<const Kernel<ColumnFp16Fn>> column_fp16_kernels();

}  // namespace qnative::interpolate
