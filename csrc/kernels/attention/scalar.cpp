#include <cmath>
#include <cstring>
#include <limits>

#include "attention.h"
#include "blocks.h"
#include "row_scale.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"

namespace qnative::attention {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The largest of n numbers, NaN when one of them is.
struct Largest {
  float value = -kInfinity;
  void add(float x) {
    if (x > value || std::isnan(x)) value = x;
  }
};

float exponential(float x) { return Functions<RealScalar>::exp(x); }

float sum_lanes(float (&lanes)[kLanes]) {
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

float dot(const float* a, const float* b, int64_t n) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(a[i], b[i], lanes[i % kLanes]);
  return sum_lanes(lanes);
}

float combined(const Combine& args, const int32_t* high, const int32_t* low, float multiplier,
               int64_t i) {
  const auto sum = static_cast<float>(int64_t{256} * high[i] + low[i]);
  return std::fma(sum, multiplier * args.scale[i], args.bias[i]);
}

}  // namespace

int64_t probabilities_scalar(int32_t* x, float scale, const float* mask, int64_t n, int64_t width,
                             uint8_t* high, uint8_t* low) {
  memset(high, 0, width);
  memset(low, 0, width);
  const auto score = [&](int64_t t) {
    const float s = static_cast<float>(x[t]) * scale;
    return mask == nullptr ? s : s + mask[t];
  };
  Largest largest;
  for (int64_t t = 0; t < n; ++t) largest.add(score(t));
  if (largest.value == -kInfinity) return 0;
  if (!(largest.value < kInfinity)) return kNanRow;
  int64_t sum = 0;
  for (int64_t t = 0; t < n; ++t) {
    // 2^23: the sum has no fraction bits, so that the addition rounds, half to even.
    const float e = exponential(score(t) - largest.value);
    const float p = std::fma(e, 65535.0f, 8388608.0f) - 8388608.0f;
    const auto whole = static_cast<int32_t>(p);
    high[t] = static_cast<uint8_t>(whole >> 8);
    low[t] = static_cast<uint8_t>(whole);
    sum += whole;
  }
  return sum;
}

void combine_scalar(const Combine& args, const int32_t* high, const int32_t* low, float multiplier,
                    uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = requantize(combined(args, high, low, multiplier, i), args.requantize);
  }
}

void combine_float_scalar(const Combine& args, const int32_t* high, const int32_t* low,
                          float multiplier, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = combined(args, high, low, multiplier, i);
}

void measure_columns_scalar(const Floats& x, const Columns& to) {
  for (int64_t c = 0; c < x.n; ++c) {
    float low = kInfinity, high = -kInfinity;
    bool is_finite = true;
    for (int64_t r = 0; r < x.rows; ++r) {
      const float v = x.data[r * x.stride + c];
      is_finite = is_finite && std::isfinite(v);
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    if (!is_finite) {
      to.low[c] = to.scale[c] = to.inverse[c] = to.shift[c] = kNan;
      continue;
    }
    // -0 + 0 is +0.
    low += 0.0f;
    high += 0.0f;
    const float half = high * 0.5f - low * 0.5f;
    const float scale = half / 127.5f;
    to.low[c] = low;
    // The inverse of a denormal scale would overflow.
    to.scale[c] = half > 0 && scale < kMinNormal ? kMinNormal : scale;
    to.inverse[c] = half > 0 ? 1 / to.scale[c] : 0;
    to.shift[c] = -low * to.inverse[c];
  }
}

void quantize_columns_scalar(const Floats& x, const Columns& columns, uint8_t* y,
                             int64_t y_stride) {
  constexpr Requantize kByte = {.zero_point = 0, .lo = 0, .hi = 255, .flip = 0};
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.n; ++c) {
      const float v = x.data[r * x.stride + c];
      y[r * y_stride + c] = requantize(std::fma(v, columns.inverse[c], columns.shift[c]), kByte);
    }
  }
}

void quantize_rows_scalar(const Floats& x, const float* factor, const QuantizedRows& to) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const float* row = x.data + r * x.stride;
    uint8_t* y = to.y + r * to.y_stride;
    float low = 0, high = 0;
    bool is_finite = true;
    for (int64_t c = 0; c < x.n; ++c) {
      const float v = row[c] * factor[c];
      is_finite = is_finite && std::isfinite(v);
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    if (!is_finite) {
      memset(y, 0, x.n);
      to.scale[r] = kNan;
      to.zero_point[r] = 0;
      continue;
    }
    const RowScale scale = row_scale(low, high);
    to.scale[r] = scale.scale;
    to.zero_point[r] = -scale.zero_point;
    const Requantize q = {.zero_point = scale.zero_point, .lo = 0, .hi = 255, .flip = 0};
    for (int64_t c = 0; c < x.n; ++c) y[c] = requantize(row[c] * factor[c] * scale.inverse, q);
  }
}

void float_rows_scalar(const FloatRows& args, float* scratch) {
  const Floats &q = args.q, &k = args.k, &v = args.v;
  for (int64_t r = 0; r < q.rows; ++r) {
    float* e = scratch + r * round_up(k.rows, kBlock);
    float* y = args.y + r * args.y_stride;
    const int64_t keys = args.keys[r];
    Largest most;
    for (int64_t t = 0; t < keys; ++t) {
      e[t] = dot(q.data + r * q.stride, k.data + t * k.stride, q.n) * args.scale;
      if (args.mask != nullptr) e[t] += args.mask[r][t];
      most.add(e[t]);
    }
    const float largest = most.value;
    float lanes[kLanes] = {};
    for (int64_t t = 0; t < k.rows; ++t) {
      e[t] = t < keys ? exponential(e[t] - largest) : 0.0f;
      lanes[t % kLanes] += e[t];
    }
    const float inverse = 1 / sum_lanes(lanes);
    for (int64_t n = 0; n < v.n; ++n) {
      float a = 0;
      for (int64_t t = 0; t < k.rows; ++t) a = std::fma(e[t], v.data[t * v.stride + n], a);
      const bool is_number = largest < kInfinity && !std::isnan(a);
      y[n] = largest == -kInfinity ? 0.0f : is_number ? a * inverse : kNan;
    }
  }
}

}  // namespace qnative::attention
