#pragma once

#include <cstdint>

// From float32 rows to those of embedding.h, the same on every machine.
namespace qnative::embedding {

// q[i] = clamp(rne((x[i] - bias) / scale), 0, 2^bits - 1) in float64, all 0 where scale is 0.
//   8 bit: bias = min x, scale = float((max x - min x) / 255)
//   4 bit: of that with 15, of narrower ranges and of lines fitted to what they give by least
//          squares, over and over, the one whose squared error is least
// Returns whether all of x[0..n) is finite; if not, nothing is written.
bool pack_row_8bit(const float* x, int64_t n, uint8_t* q, float* scale, float* bias);
bool pack_row_4bit(const float* x, int64_t n, uint8_t* q, float* scale, float* bias);

}  // namespace qnative::embedding
