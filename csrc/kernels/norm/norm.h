#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// The parts of normalizations and softmax: sums of quantized numbers, and functions of one of them
// and a few constants. Any alignment; y may be x if their elements have the same size. Bytes are
// xored with a flip (0x80 for int8 tensors) before use.
namespace qnative::norm {

// *sum += sum of v, *squares += sum of v * v, over v = x[i] ^ flip. Exact.
using SumFn = void(const uint8_t* x, int64_t n, uint8_t flip, int64_t* sum, int64_t* squares);
// The same for each column of `rows` rows of n bytes, `stride` bytes apart. sum, squares: [n].
using SumColumnsFn = void(const uint8_t* x, int64_t rows, int64_t stride, int64_t n, uint8_t flip,
                          int64_t* sum, int64_t* squares);

// The sums of int16 numbers.
using SumWordsFn = void(const int16_t* x, int64_t n, int64_t* sum, int64_t* squares);

// With v = float((x[i] ^ x_flip) - x_zero_point), y[i] = requantize(r).
struct Args {
  int32_t x_zero_point;  // of the uint8 form
  uint8_t x_flip;
  Requantize requantize;
  // x and y are int16, see words.h. For ScaleFn, AffineFn and x of AffineFloatFn.
  bool x_is_word = false, y_is_word = false;
};

// r = fma(v, scale, shift)
using ScaleFn = void(const Args& args, const void* x, void* y, int64_t n, float scale, float shift);
// r = fma(v, scale[i], shift[i])
using ScaleEachFn = void(const Args& args, const uint8_t* x, uint8_t* y, int64_t n,
                         const float* scale, const float* shift);
// r = fma(fma(v, scale, shift), weight[i], bias[i])
struct Affine {
  float scale, shift;
  const float* weight;
  const float* bias;
};
using AffineFn = void(const Args& args, const void* x, void* y, int64_t n, const Affine& affine);
// The same with y[i] = r. args.requantize is ignored; y does not overlap x.
using AffineFloatFn = void(const Args& args, const void* x, float* y, int64_t n,
                           const Affine& affine);
// r = v * (v < 0 ? negative[i] : positive); slopes are finite
using PreluFn = void(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
                     const float* negative);

// exp(-k * scale), at index 255 - k.
struct Exponentials {
  float value[256];
  uint32_t fixed[256];    // value * 2^31: sums are exact and do not depend on the order
  uint8_t plane[4][256];  // the bytes of `fixed`, lowest first
};
// Does not use libm, whose bits depend on the machine. scale > 0.
void make_exponentials(double scale, Exponentials& e);

// The maximum of x[i] ^ flip, n >= 1.
using LargestFn = uint8_t(const uint8_t* x, int64_t n, uint8_t flip);
// The sum of e.fixed[255 - largest + (x[i] ^ flip)]; no x[i] ^ flip is above `largest`.
using SumExponentialsFn = int64_t(const Exponentials& e, const uint8_t* x, int64_t n, uint8_t flip,
                                  uint8_t largest);
// y[i] = e.value[255 - largest + (x[i] ^ flip)] * multiplier
using ExponentialsFn = void(const Exponentials& e, const uint8_t* x, float* y, int64_t n,
                            uint8_t flip, uint8_t largest, float multiplier);

std::span<const Kernel<SumFn>> sum_kernels();
std::span<const Kernel<SumColumnsFn>> sum_columns_kernels();
std::span<const Kernel<SumWordsFn>> sum_words_kernels();
std::span<const Kernel<ScaleFn>> scale_kernels();
std::span<const Kernel<ScaleEachFn>> scale_each_kernels();
std::span<const Kernel<AffineFn>> affine_kernels();
std::span<const Kernel<AffineFloatFn>> affine_float_kernels();
std::span<const Kernel<PreluFn>> prelu_kernels();
std::span<const Kernel<LargestFn>> largest_kernels();
std::span<const Kernel<SumExponentialsFn>> sum_exponentials_kernels();
std::span<const Kernel<ExponentialsFn>> exponentials_kernels();

}  // namespace qnative::norm
