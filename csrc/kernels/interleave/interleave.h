#pragma once

#include <cstdint>
#include <span>

#include "isa.h"

// From planes of bytes, the layout of images, to pixels, the input of convolutions. Any alignment.
namespace qnative::interleave {

// Three planes to pixels of three bytes: y[3 * i + c] = x[c * plane_stride + i] ^ flip for i < n.
using Fn = void(const uint8_t* x, int64_t plane_stride, uint8_t* y, int64_t n, uint8_t flip);

std::span<const Kernel<Fn>> kernels();

// Any number of planes: y[i * pixel_stride + c] = x[c * plane_stride + i] for c < planes, i < n.
struct Planes {
  const uint8_t* x;
  int64_t planes, plane_stride, n;
};
using TransposeFn = void(const Planes& planes, uint8_t* y, int64_t pixel_stride);

std::span<const Kernel<TransposeFn>> transpose_kernels();

}  // namespace qnative::interleave
