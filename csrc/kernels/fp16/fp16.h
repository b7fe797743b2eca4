#pragma once

#include <cstdint>
#include <span>

#include "float_activation.h"
#include "isa.h"
#include "pool/pool.h"

// Functions of float16 tensors, given as the bits of halves: computed in float32, rounded once,
// half to even. NaN results are 0x7e00.
namespace qnative::fp16 {

// add: r = fma(b, alpha, a)        mul: r = a * b
// y = half(r clamped to [lo, hi], NaN kept)
struct BinaryArgs {
  float alpha;  // of add
  float lo, hi;
};
// a, b, y: n halves; y may be a or b.
using BinaryFn = void(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
                      int64_t n);

enum class Function : uint8_t {
  kActivation,   // r = activation(x)
  kAffine,       // r = fma(x, a, b)
  kFloorDivide,  // r = floor(x / a), exactly; x / 0 if a is 0, NaN for infinite x
};
struct UnaryArgs {
  Function function;
  FloatActivation activation;
  float a, b;    // finite
  float lo, hi;  // y = half(r clamped to [lo, hi], NaN kept)
};
// x, y: n halves; y may be x.
using UnaryFn = void(const UnaryArgs& args, const uint16_t* x, uint16_t* y, int64_t n);

// y[i] = half(e[i] * (1 / sum of e)), e[i] = exp(x[i] - max x), n >= 1. Lane i % kLanes of kLanes
// sums e[i]; then the upper half of the lanes is added to the lower half until one is left.
// scratch: n + kLanes floats. y may be x.
inline constexpr int64_t kLanes = 16;
using SoftmaxFn = void(const uint16_t* x, uint16_t* y, int64_t n, float* scratch);

// Windows of halves, of any number of taps: strides are in bytes, channels in halves. y does not
// overlap x.
//
// y[o * channels + c] = max over window o of x[c], NaN if one of them is NaN, -infinity of none.
using MaxFn = void(const pool::Window& window, uint16_t* y);
// y[o * channels + c] = half(float(sum of x[c] over window o / divisor)). The sum is float64, exact
// while the magnitudes add up to less than 2^29, in the order of memory; for one channel without
// gaps between the pixels of a row in lanes as in softmax, pixel j in lane j % kLanes.
using MeanFn = void(const pool::Window& window, double divisor, uint16_t* y);

std::span<const Kernel<BinaryFn>> add_kernels();
std::span<const Kernel<BinaryFn>> mul_kernels();
std::span<const Kernel<UnaryFn>> unary_kernels();
std::span<const Kernel<SoftmaxFn>> softmax_kernels();
std::span<const Kernel<MaxFn>> max_kernels();
std::span<const Kernel<MeanFn>> mean_kernels();

}  // namespace qnative::fp16
