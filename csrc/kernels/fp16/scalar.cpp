#include <algorithm>
#include <cmath>
#include <limits>

#include "fp16.h"
#include "half.h"
#include "lanes.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"

namespace qnative::fp16 {
namespace {

uint16_t clamped_half(float r, float lo, float hi) {
  r = r < lo ? lo : r;
  r = r > hi ? hi : r;
  uint16_t y;
  RealScalar::store_half(&y, r);
  return y;
}

float floor_divide(float x, float divisor) {
  const float quotient = x / divisor;
  if (divisor == 0) return quotient;
  if (std::isinf(x)) return std::numeric_limits<float>::quiet_NaN();
  // The sign of the remainder tells whether the quotient was rounded up to an integer.
  const float floor = std::floor(quotient), rest = std::fma(-floor, divisor, x);
  return (divisor < 0 ? -rest : rest) < 0 ? floor - 1 : floor;
}

float evaluate(const UnaryArgs& args, float x) {
  switch (args.function) {
    case Function::kAffine:
      return std::fma(x, args.a, args.b);
    case Function::kFloorDivide:
      return floor_divide(x, args.a);
    case Function::kActivation:
      break;
  }
  return activate<RealScalar>(args.activation, x);
}

// Calls f(value, column) for one channel of the window that begins at x.
template <class F>
void for_taps(const pool::Window& window, const uint8_t* x, const F& f) {
  for (int64_t p = 0; p < window.planes; ++p, x += window.plane_stride) {
    for (int64_t i = 0; i < window.rows; ++i) {
      for (int64_t j = 0; j < window.columns; ++j) {
        uint16_t half;
        memcpy(&half, x + i * window.row_stride + j * window.pixel_stride, sizeof(half));
        f(half_to_float(half), j);
      }
    }
  }
}

}  // namespace

void add_scalar(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
                int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float r = std::fma(half_to_float(b[i]), args.alpha, half_to_float(a[i]));
    y[i] = clamped_half(r, args.lo, args.hi);
  }
}

void mul_scalar(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
                int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = clamped_half(half_to_float(a[i]) * half_to_float(b[i]), args.lo, args.hi);
  }
}

void unary_scalar(const UnaryArgs& args, const uint16_t* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = clamped_half(evaluate(args, half_to_float(x[i])), args.lo, args.hi);
  }
}

void softmax_scalar(const uint16_t* x, uint16_t* y, int64_t n, float* scratch) {
  float most = half_to_float(x[0]);
  for (int64_t i = 1; i < n; ++i) most = std::max(most, half_to_float(x[i]));
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) {
    scratch[i] = Functions<RealScalar>::exp(half_to_float(x[i]) - most);
    lanes[i % kLanes] += scratch[i];
  }
  const float inverse = 1 / sum_lanes(lanes);
  for (int64_t i = 0; i < n; ++i) RealScalar::store_half(y + i, scratch[i] * inverse);
}

void max_scalar(const pool::Window& window, uint16_t* y) {
  for (int64_t o = 0; o < window.outputs; ++o) {
    for (int64_t c = 0; c < window.channels; ++c) {
      float most = -std::numeric_limits<float>::infinity();
      for_taps(window, window.x + o * window.output_stride + c * 2, [&](float v, int64_t) {
        if (v > most || std::isnan(v)) most = v;
      });
      RealScalar::store_half(y++, most);
    }
  }
}

void mean_scalar(const pool::Window& window, double divisor, uint16_t* y) {
  const bool in_lanes = window.channels == 1 && window.pixel_stride == 2;
  for (int64_t o = 0; o < window.outputs; ++o) {
    for (int64_t c = 0; c < window.channels; ++c) {
      double lanes[kLanes] = {};
      for_taps(window, window.x + o * window.output_stride + c * 2,
               [&](float v, int64_t j) { lanes[in_lanes ? j % kLanes : 0] += v; });
      RealScalar::store_half(y++, static_cast<float>(sum_lanes(lanes) / divisor));
    }
  }
}

}  // namespace qnative::fp16
