#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// One output pixel of a pooling window over NHWC data: windows, padding and ceil_mode are the
// caller's business.
namespace qnative::pool {

struct Window {
  const uint8_t* x;                  // first pixel of the window
  int64_t row_stride, pixel_stride;  // bytes between window rows and between pixels of a row
  int64_t rows, columns;             // both >= 1; rows * columns < 2^23
  int64_t channels;                  // contiguous in every pixel
};

// y[c] = max over the window of x[c] ^ flip, then ^ flip (flip 0x80 for int8).
using MaxFn = void(const Window& window, uint8_t flip, uint8_t* y);
// y[c] = requantize(float(sum over the window of ((x[c] ^ x_flip) - x_zero_point)) * multiplier);
// the sum is exact in int32.
using MeanFn = void(const Window& window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
                    const Requantize& q, uint8_t* y);

std::span<const Kernel<MaxFn>> max_kernels();
std::span<const Kernel<MeanFn>> mean_kernels();

}  // namespace qnative::pool
