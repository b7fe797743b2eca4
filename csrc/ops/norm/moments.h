#pragma once

#include <cmath>
#include <cstdint>

// Mean and variance from exact sums.
namespace qnative::ops {

struct Moments {
  int64_t sum = 0, squares = 0;  // of the uint8 form of x, or of int16 x
};

// (x - x_zero_point) * scale + shift has mean 0 and variance 1, or is 0 where all x are equal.
struct Normalization {
  double scale, shift;
};

inline Normalization normalize(const Moments& moments, int64_t n, double x_scale,
                               int32_t x_zero_point, double eps) {
  // The variance of the distances to the integer below the mean: they are small, so that this
  // difference is exact.
  const int64_t floor = moments.sum / n;
  const int64_t squares = moments.squares - 2 * floor * moments.sum + n * floor * floor;
  const double rest = static_cast<double>(moments.sum - n * floor) / static_cast<double>(n);
  const double variance = static_cast<double>(squares) / static_cast<double>(n) - rest * rest;
  // Exactly 0 if all x are equal. A tiny eps would give a scale then that float32 cannot take back.
  if (variance <= 0) return {0, 0};
  const double mean = static_cast<double>(floor - x_zero_point) + rest;
  const double scale = x_scale / std::sqrt(x_scale * x_scale * variance + eps);
  return {scale, -mean * scale};
}

// The same without a mean: (x - x_zero_point) * scale has the mean square 1.
inline Normalization normalize_root(const Moments& moments, int64_t n, double x_scale,
                                    int32_t x_zero_point, double eps) {
  const int64_t zero = x_zero_point;
  const int64_t squares = moments.squares - 2 * zero * moments.sum + n * zero * zero;
  if (squares == 0) return {0, 0};
  const double mean = static_cast<double>(squares) / static_cast<double>(n);
  return {x_scale / std::sqrt(x_scale * x_scale * mean + eps), 0};
}

}  // namespace qnative::ops
