#pragma once

#include <cstdint>
#include <span>

#include "isa.h"

// Three planes of bytes, the layout of images, to pixels of three bytes, the input of convolutions:
// y[3 * i + c] = x[c * plane_stride + i] ^ flip for i < n. Any alignment.
namespace qnative::interleave {

using Fn = void(const uint8_t* x, int64_t plane_stride, uint8_t* y, int64_t n, uint8_t flip);

std::span<const Kernel<Fn>> kernels();

}  // namespace qnative::interleave
