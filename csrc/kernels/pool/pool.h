#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Pooling windows over NHWC and NDHWC data, for a run of output pixels. The caller resolves padding
// and ceil_mode: windows are inside x.
namespace qnative::pool {

struct Window {
  const uint8_t* x;                  // first pixel of the first window
  int64_t row_stride, pixel_stride;  // bytes between window rows and between pixels of a row
  int64_t rows, columns;             // both >= 1; planes * rows * columns < 2^23
  int64_t channels;                  // contiguous in every pixel
  int64_t outputs = 1;               // windows of this size
  int64_t output_stride = 0;         // bytes between their first pixels
  int64_t planes = 1;                // of rows x columns pixels, >= 1
  int64_t plane_stride = 0;          // bytes
};

// y[o * channels + c] = max over window o of x[c] ^ flip, then ^ flip (flip 0x80 for int8).
// y does not overlap x.
using MaxFn = void(const Window& window, uint8_t flip, uint8_t* y);
// y[o * channels + c] = requantize(float(sum) * multiplier), sum over window o of
// (x[c] ^ x_flip) - x_zero_point, exact in int32. y does not overlap x.
using MeanFn = void(const Window& window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
                    const Requantize& q, uint8_t* y);

std::span<const Kernel<MaxFn>> max_kernels();
std::span<const Kernel<MeanFn>> mean_kernels();

}  // namespace qnative::pool
