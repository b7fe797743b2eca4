#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "float_activation.h"
#include "isa.h"
#include "requantize.h"

// Matrix product of uint8 rows with packed int8 weights, exact in int32 (modulo 2^32), and
// convolution as such a product:
//
// clang-format off
//   acc[i][n] = start[n] + row_factor[i] * column_factor[n]
//               + sum_{s < segments} sum_{k < segment_size}
//                   x[row(i) + segment_offset[s] + k] * w[n][s][k]
//               + sum_{o < outlier_count[i]}
//                   outliers[i][o].excess * w[n][0][outliers[i][o].k]
//   row(i)    = row_offset ? row_offset[i] : i * x_stride
//   r         = fma(float(acc), multiplier[n], bias[n])
//   y[i][n]   = requantize(r), as uint8 or as int16 (see words.h), or for float output
//               activation(r) clamped to [float_lo, float_hi], NaN kept,
//               or for sum output acc[i][n]
// clang-format on
//
// row_factor * column_factor subtracts the zero point of each row. With row_multiplier, for float
// output, float(row_multiplier[i] * multiplier[n]) replaces multiplier[n]. An outlier is a value of
// x that does not fit in uint8: x holds the saturated byte, `excess` is the difference.
//
// A linear layer has one segment. A convolution over NHWC input has one segment per kernel row,
// whose KW * C bytes are contiguous in x; its rows of x overlap, so that no im2col is needed.
namespace qnative::gemm {

struct Outlier {
  int32_t k;       // < segment_size
  int32_t excess;  // fits in int16
};

struct Args {
  const uint8_t* x;               // readable up to 3 bytes past the end of every segment
  const int64_t* row_offset;      // [m] or null; may be negative
  int64_t x_stride;               // used when row_offset is null
  const int64_t* segment_offset;  // [segments]; may be negative
  int64_t segments;
  int64_t segment_size;     // bytes
  const int8_t* weight;     // panels as packed by pack(); any alignment
  const int32_t* start;     // [round_up(n, 16)], usually -x_zero_point * column sum
  const float* multiplier;  // [round_up(n, 16)]
  const float* bias;        // [round_up(n, 16)]
  int64_t n;
  void* y;           // uint8_t; int16_t, float or int32_t with word, float or sum_output
  int64_t y_stride;  // elements between rows of y
  bool float_output;
  Requantize requantize;  // for uint8 and int16 output
  float float_lo;         // for float output; -inf and inf when there is no clamp
  float float_hi;
  FloatActivation activation = FloatActivation::kNone;  // for float output
  const int32_t* row_factor = nullptr;                  // [m] or null: 0
  const int32_t* column_factor = nullptr;               // [round_up(n, 16)] with row_factor
  const float* row_multiplier = nullptr;                // [m] or null: 1; for float output
  const int32_t* outlier_count = nullptr;               // [m] or null: 0; for float output
  const Outlier* outliers = nullptr;                    // [m][outlier_stride]
  int64_t outlier_stride = 0;
  bool small = false;      // every multiplier and bias is small in the sense of requantize.h
  bool has_zeros = false;  // hint: many weights are 0, so looking for zero groups pays
  // Bytes between panels; 0 if they follow each other. Panels of a longer segment give the products
  // of its first segment_size weights, a multiple of 4.
  int64_t panel_stride = 0;
  bool sum_output = false;   // y is int32_t; float_output is false, multiplier and bias are ignored
  bool word_output = false;  // y is int16_t; float_output is false
};

namespace {

// The size of one element of y.
[[maybe_unused]] inline int64_t y_bytes(const Args& args) {
  if (args.float_output || args.sum_output) return 4;
  return args.word_output ? 2 : 1;
}

}  // namespace

// Computes rows [m_begin, m_end) and columns [n_begin, min(n_end, n)); n_begin is a multiple of 16.
// Writes no other element of y. scratch: scratch_size(args, rows) bytes with rows >= m_end -
// m_begin, 64-byte aligned, private to the call.
using Fn = void(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
                std::byte* scratch);

std::span<const Kernel<Fn>> kernels();

// In bytes; bounded by a few hundred KB or six rows, however large `rows` is.
int64_t scratch_size(const Args& args, int64_t rows = std::numeric_limits<int64_t>::max());

// Packed weight, one layout for every ISA: panels
// [ceil(n/16)][segments][ceil(segment_size/4)][16][4], zero padded, then the column sums sum_{s,k}
// w[n][s][k] as int32 [round_up(n, 16)].
int64_t panels_size(int64_t n, int64_t segments, int64_t segment_size);  // bytes, multiple of 64
int64_t packed_size(int64_t n, int64_t segments, int64_t segment_size);  // panels and column sums

// weight: contiguous [n][segments][segment_size]; packed: packed_size() bytes.
void pack(const int8_t* weight, int64_t n, int64_t segments, int64_t segment_size, int8_t* packed);
void unpack(const int8_t* packed, int64_t n, int64_t segments, int64_t segment_size,
            int8_t* weight);

}  // namespace qnative::gemm
