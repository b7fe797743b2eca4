#pragma once

#include <cstdint>

// From float32 rows to those of embedding.h, the same on every machine.
namespace qnative::embedding {

// q[i] = clamp(rne((x[i] - bias) / scale), 0, 2^bits - 1) in float64, all 0 where scale is 0.
//   8 bit: bias = min x, scale = float((max x - min x) / 255)
//   4 bit: of that with 15, of narrower ranges and of lines fitted to what they give by least
//          squares, over and over, the one whose squared error is least
// Returns whether all of x[0..dim) is finite; if not, nothing is written.
using PackRow = bool(const float* x, int64_t dim, uint8_t* row);
PackRow pack_row_8bit, pack_row_4bit;

}  // namespace qnative::embedding
