#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Functions of two 8-bit tensors, element by element.
//
//   add: r = fma(float(a - a_zero_point), a_multiplier, float(b - b_zero_point) * b_multiplier)
//   mul: r = float((a - a_zero_point) * (b - b_zero_point)) * a_multiplier
//   y = requantize(r)
//
// a and b are xored with a_flip and b_flip (0x80 for int8 input) before use; zero points are those
// of the uint8 form.
namespace qnative::elementwise {

struct Args {
  int32_t a_zero_point, b_zero_point;
  float a_multiplier, b_multiplier;
  uint8_t a_flip, b_flip;
  Requantize requantize;
};

// a, b, y: n bytes, any alignment; y may be a or b.
using Fn = void(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n);

std::span<const Kernel<Fn>> add_kernels();
std::span<const Kernel<Fn>> mul_kernels();

}  // namespace qnative::elementwise
