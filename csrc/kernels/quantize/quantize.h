#pragma once

#include <cstdint>
#include <span>

#include "isa.h"
#include "requantize.h"

// Between float32 and 8 bits, or int16. Any alignment.
namespace qnative::quantize {

// y[i] = requantize(r), r = x[i] * inverse_scale, or 0 if that is NaN: NaN becomes the zero point
// (clamped to [lo, hi]), infinities saturate.
using QuantizeFn = void(const float* x, uint8_t* y, int64_t n, float inverse_scale,
                        const Requantize& q);
// y[i] = float((x[i] ^ flip) - zero_point) * scale
using DequantizeFn = void(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                          uint8_t flip);
// The same for int16, see words.h: the zero point is 0.
using QuantizeWordsFn = void(const float* x, int16_t* y, int64_t n, float inverse_scale,
                             const Requantize& q);
using DequantizeWordsFn = void(const int16_t* x, float* y, int64_t n, float scale);
// QuantizeFn and DequantizeFn with one scale and zero point per element, for the last axis of a
// tensor: arrays of n.
using QuantizeEachFn = void(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                            const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip);
using DequantizeEachFn = void(const uint8_t* x, float* y, int64_t n, const float* scale,
                              const int32_t* zero_point, uint8_t flip);
// Minimum and maximum of x[0..n), n >= 1, where zeros are +0, and sum_i |x[i]| in float32: lane l
// of 32 sums |x[l]|, |x[l + 32]|, ... in this order; then lanes l and l + 16 are added, l and l +
// 8, ... down to one. A NaN in x makes all three NaN.
struct Summary {
  float min, max, magnitudes;
};
using SummarizeFn = Summary(const float* x, int64_t n);
// Counts |x[i]| > threshold and writes their positions in order. Returns limit + 1 as soon as there
// are more than `limit`; only the first `limit` are written.
using FindAboveFn = int64_t(const float* x, int64_t n, float threshold, int32_t* positions,
                            int64_t limit);

std::span<const Kernel<QuantizeFn>> quantize_kernels();
std::span<const Kernel<DequantizeFn>> dequantize_kernels();
std::span<const Kernel<QuantizeWordsFn>> quantize_words_kernels();
std::span<const Kernel<DequantizeWordsFn>> dequantize_words_kernels();
std::span<const Kernel<QuantizeEachFn>> quantize_each_kernels();
std::span<const Kernel<DequantizeEachFn>> dequantize_each_kernels();
std::span<const Kernel<SummarizeFn>> summarize_kernels();
std::span<const Kernel<FindAboveFn>> find_above_kernels();

}  // namespace qnative::quantize
