#pragma once

#include <string.h>

#include "fp16.h"
#include "lanes.h"
#include "simd/activation.h"

// The kernels, over the vectors R of simd/real_*.h.
namespace qnative::fp16 {
namespace {

// The first n < R::kLanes lanes; the others are `rest`.
template <class R>
typename R::F load_first(const uint16_t* p, int64_t n, uint16_t rest) {
  uint16_t part[R::kLanes];
  for (uint16_t& v : part) v = rest;
  memcpy(part, p, n * sizeof(*p));
  return R::load_half(part);
}

template <class R>
void store_first(uint16_t* p, typename R::F x, int64_t n) {
  uint16_t part[R::kLanes];
  R::store_half(part, x);
  memcpy(p, part, n * sizeof(*p));
}

// y[i] = f(x[i]...)
template <class R, class F, class... X>
void map(uint16_t* y, int64_t n, const F& f, const X*... x) {
  int64_t i = 0;
  for (; i + R::kLanes <= n; i += R::kLanes) R::store_half(y + i, f(R::load_half(x + i)...));
  if (i < n) store_first<R>(y + i, f(load_first<R>(x + i, n - i, 0)...), n - i);
}

// min and max return the second operand for NaN.
template <class R>
struct Clamp {
  typename R::F lo, hi;

  template <class Args>
  explicit Clamp(const Args& args) : lo(R::set(args.lo)), hi(R::set(args.hi)) {}

  typename R::F operator()(typename R::F r) const { return R::min(hi, R::max(lo, r)); }
};

template <class R>
void run_add(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y, int64_t n) {
  using F = typename R::F;
  const Clamp<R> clamp(args);
  const F alpha = R::set(args.alpha);
  map<R>(y, n, [&](F left, F right) { return clamp(R::fma(right, alpha, left)); }, a, b);
}

template <class R>
void run_mul(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y, int64_t n) {
  using F = typename R::F;
  const Clamp<R> clamp(args);
  map<R>(y, n, [&](F left, F right) { return clamp(R::mul(left, right)); }, a, b);
}

template <class R>
struct FloorDivide {
  using F = typename R::F;
  F divisor, sign;
  bool by_zero;

  explicit FloorDivide(float d)
      : divisor(R::set(d)), sign(R::set(d < 0 ? -1.0f : 1.0f)), by_zero(d == 0) {}

  F operator()(F x) const {
    const F quotient = R::div(x, divisor);
    if (by_zero) return quotient;
    // The sign of the remainder tells whether the quotient was rounded up to an integer. It is NaN
    // for infinite x.
    const F zero = R::set(0.0f), floor = R::floor(quotient);
    const F rest = R::mul(R::fma(R::sub(zero, floor), divisor, x), sign);
    const F y = R::less(rest, zero, R::sub(floor, R::set(1.0f)), floor);
    return R::if_nan(rest, rest, y);
  }
};

template <class R>
void run_unary(const UnaryArgs& args, const uint16_t* x, uint16_t* y, int64_t n) {
  using F = typename R::F;
  const Clamp<R> clamp(args);
  if (args.function == Function::kAffine) {
    const F a = R::set(args.a), b = R::set(args.b);
    return map<R>(y, n, [&](F v) { return clamp(R::fma(v, a, b)); }, x);
  }
  if (args.function == Function::kFloorDivide) {
    const FloorDivide<R> divide(args.a);
    return map<R>(y, n, [&](F v) { return clamp(divide(v)); }, x);
  }
  const FloatActivation activation = args.activation;
  map<R>(y, n, [&](F v) { return clamp(activate<R>(activation, v)); }, x);
}

template <class R>
float largest(const uint16_t* x, int64_t n) {
  constexpr uint16_t kMinusInfinity = 0xfc00;
  typename R::F most = R::set(-__builtin_inff());
  int64_t i = 0;
  for (; i + R::kLanes <= n; i += R::kLanes) most = R::max(most, R::load_half(x + i));
  if (i < n) most = R::max(most, load_first<R>(x + i, n - i, kMinusInfinity));
  float lanes[R::kLanes];
  R::store(lanes, most);
  for (float v : lanes) lanes[0] = lanes[0] > v ? lanes[0] : v;
  return lanes[0];
}

template <class R>
void run_softmax(const uint16_t* x, uint16_t* y, int64_t n, float* scratch) {
  using F = typename R::F;
  // If x has a NaN this may be any of its values: all of y is NaN then.
  const F most = R::set(largest<R>(x, n));
  const auto exp = [&](F v) { return Functions<R>::exp(R::sub(v, most)); };
  int64_t i = 0;
  for (; i + R::kLanes <= n; i += R::kLanes) R::store(scratch + i, exp(R::load_half(x + i)));
  if (i < n) R::store(scratch + i, exp(load_first<R>(x + i, n - i, 0)));
  for (int64_t j = n; j % kLanes != 0; ++j) scratch[j] = 0;
  constexpr int kVectors = kLanes / R::kLanes;
  F sums[kVectors];
  for (F& sum : sums) sum = R::set(0.0f);
  for (i = 0; i < n; i += kLanes) {
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = R::add(sums[v], R::load(scratch + i + v * R::kLanes));
    }
  }
  float lanes[kLanes];
  for (int v = 0; v < kVectors; ++v) R::store(lanes + v * R::kLanes, sums[v]);
  const F inverse = R::set(1 / sum_lanes(lanes));
  const auto value = [&](int64_t at) { return R::mul(R::load(scratch + at), inverse); };
  for (i = 0; i + R::kLanes <= n; i += R::kLanes) R::store_half(y + i, value(i));
  if (i < n) store_first<R>(y + i, value(i), n - i);
}

// Calls f(p) for the pixels of the window that begins at x, in order.
template <class F>
void for_pixels(const pool::Window& window, const uint8_t* x, const F& f) {
  for (int64_t p = 0; p < window.planes; ++p) {
    for (int64_t i = 0; i < window.rows; ++i) {
      const uint8_t* row = x + p * window.plane_stride + i * window.row_stride;
      for (int64_t j = 0; j < window.columns; ++j) {
        f(reinterpret_cast<const uint16_t*>(row + j * window.pixel_stride));
      }
    }
  }
}

// Computes every window in blocks of one vector of channels: value(x, load) is the vector of y for
// the window at x, load(p) the channels at p. The last block overlaps the one before.
template <class R, class Value>
void run_blocks(const pool::Window& window, uint16_t* y, const Value& value) {
  const int64_t channels = window.channels;
  const uint8_t* x = window.x;
  for (int64_t o = 0; o < window.outputs; ++o, x += window.output_stride, y += channels) {
    if (channels < R::kLanes) {
      const auto load = [&](const uint16_t* p) { return load_first<R>(p, channels, 0); };
      store_first<R>(y, value(x, load), channels);
      continue;
    }
    const auto load = [](const uint16_t* p) { return R::load_half(p); };
    for (int64_t c = 0; c < channels; c += R::kLanes) {
      const int64_t at = c + R::kLanes <= channels ? c : channels - R::kLanes;
      R::store_half(y + at, value(x + at * 2, load));
    }
  }
}

template <class R>
void run_max(const pool::Window& window, uint16_t* y) {
  using F = typename R::F;
  run_blocks<R>(window, y, [&](const uint8_t* x, const auto& load) {
    F most = R::set(-__builtin_inff());
    for_pixels(window, x, [&](const uint16_t* p) {
      const F v = load(p);
      // max returns its second operand for NaN, which keeps a NaN in `most`.
      most = R::if_nan(v, v, R::max(v, most));
    });
    return most;
  });
}

// Division by a power of two equals multiplication by its inverse, bit for bit, and is many times
// slower. The same holds for 0 and infinity, which count as powers of two here.
bool is_power_of_two(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return (bits & ((uint64_t{1} << 52) - 1)) == 0;
}

// The mean for one channel without gaps between the pixels of a row.
template <class R>
void run_mean_of_rows(const pool::Window& window, double divisor, uint16_t* y) {
  using D = typename R::D;
  constexpr int kVectors = kLanes / R::kLanes;
  for (int64_t o = 0; o < window.outputs; ++o) {
    D sums[kVectors];
    for (D& sum : sums) sum = R::widen(R::set(0.0f));
    pool::Window rows = window;
    rows.columns = 1;
    for_pixels(rows, window.x + o * window.output_stride, [&](const uint16_t* row) {
      for (int64_t j = 0; j < window.columns; j += R::kLanes) {
        const int64_t left = window.columns - j;
        const typename R::F v =
            left < R::kLanes ? load_first<R>(row + j, left, 0) : R::load_half(row + j);
        D& sum = sums[j / R::kLanes % kVectors];
        sum = R::add_wide(sum, R::widen(v));
      }
    });
    double lanes[kLanes];
    for (int v = 0; v < kVectors; ++v) R::store_wide(lanes + v * R::kLanes, sums[v]);
    store_first<R>(y + o, R::set(static_cast<float>(sum_lanes(lanes) / divisor)), 1);
  }
}

template <class R>
void run_mean(const pool::Window& window, double divisor, uint16_t* y) {
  if (window.channels == 1 && window.pixel_stride == 2) {
    return run_mean_of_rows<R>(window, divisor, y);
  }
  const bool scales = is_power_of_two(divisor);
  const double factor = 1 / divisor;
  run_blocks<R>(window, y, [&](const uint8_t* x, const auto& load) {
    typename R::D sum = R::widen(R::set(0.0f));
    for_pixels(window, x, [&](const uint16_t* p) { sum = R::add_wide(sum, R::widen(load(p))); });
    return R::narrow(scales ? R::scale(sum, factor) : R::divide(sum, divisor));
  });
}

}  // namespace
}  // namespace qnative::fp16
