#pragma once

#include <cstdint>

// From float32 rows to the rows of embedding.h, with the same bits on every machine.
namespace qnative::embedding {

// q[i] = clamp(rne((x[i] - bias) / scale), 0, 2^bits - 1) in float64, all 0 where scale is 0.
//   8 bit: bias = min x, scale = float((max x - min x) / 255)
//   4 bit: scale and bias of the smallest squared error among: the same with 15, narrower ranges,
//          and the least-squares lines fitted repeatedly from each of them
// Returns whether all of x[0..dim) is finite; if not, writes nothing.
using PackRow = bool(const float* x, int64_t dim, uint8_t* row);
PackRow pack_row_8bit, pack_row_4bit;

}  // namespace qnative::embedding
