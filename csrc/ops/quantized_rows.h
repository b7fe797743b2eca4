#pragma once

#include <cstdint>

// Rows of float32 as uint8, each with a scale and a zero point of its own, as gemm kernels take
// them.
namespace qnative::ops {

struct QuantizedRows {
  uint8_t* q;  // [rows][stride]
  int64_t stride;
  float* scale;         // NaN for a row with a value that is not finite
  int32_t* zero_point;  // negated
};

// Bytes of a row of k, padded to whole groups of four: the kernels read up to 3 bytes beyond it.
inline int64_t quantized_stride(int64_t k) { return (k + 3) / 4 * 4; }

// Row i becomes x[0..k), by the range of its values and zero in 255 steps, and zeros as padding.
void quantize_row(const float* x, int64_t k, int64_t i, const QuantizedRows& rows);

}  // namespace qnative::ops
