#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Functions of two quantized tensors, element by element.
//
//   add: r = fma(float(a - a_zero_point), a_multiplier, float(b - b_zero_point) * b_multiplier)
//   mul: r = float(a - a_zero_point) * float(b - b_zero_point) * a_multiplier, the first product
//        rounded to float32 (which is exact but for two int16 tensors)
//   y = requantize(r)
//
// a and b are xored with a_flip and b_flip (0x80 for int8 input) before use; zero points are those
// of the uint8 form. Each of a, b and y may be int16 instead, see words.h.
namespace qnative::elementwise {

struct Args {
  int32_t a_zero_point, b_zero_point;
  float a_multiplier, b_multiplier;
  uint8_t a_flip, b_flip;
  Requantize requantize;
  bool a_is_word = false, b_is_word = false, y_is_word = false;
};

// a, b, y: n elements, any alignment; y may be a or b if its elements have the same size.
using Fn = void(const Args& args, const void* a, const void* b, void* y, int64_t n);

std::span<const Kernel<Fn>> add_kernels();
std::span<const Kernel<Fn>> mul_kernels();

}  // namespace qnative::elementwise
