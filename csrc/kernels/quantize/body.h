#pragma once

#include "quantize.h"
#include "simd/requantize.h"

namespace qnative::quantize {
namespace {

// x * scale, 0 where that is NaN. A branch that is never taken costs less than two operations on
// every vector.
template <class V>
typename V::Floats scaled(typename V::Floats x, typename V::Floats scale) {
  const typename V::Floats r = V::mul(x, scale);
  return V::has_nan(r) ? V::nan_to_zero(r) : r;
}

template <class V>
void run_quantize(const float* x, uint8_t* y, int64_t n, float inverse_scale, const Requantize& q) {
  const typename V::Floats scale = V::floats(inverse_scale);
  const VectorRequantize<V> requantize(q);
  const auto f = [&](typename V::Floats v) { return V::collect(requantize(scaled<V>(v, scale))); };
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) V::store(y + i, f(V::load(x + i)));
  if (i < n) V::store(y + i, f(V::load(x + i, n - i)), n - i);
}

template <class V>
void run_dequantize(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                    uint8_t flip) {
  const typename V::Floats scales = V::floats(scale);
  const typename V::Floats bias = V::floats(V::kBias + static_cast<float>(zero_point));
  const typename V::Bytes flips = V::bytes(flip);
  const auto f = [&](typename V::Bytes v) {
    return V::mul(V::sub(V::widen(V::spread(V::exclusive_or(v, flips))), bias), scales);
  };
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) V::store(y + i, f(V::load(x + i)));
  if (i < n) V::store(y + i, f(V::load(x + i, n - i)), n - i);
}

template <class V>
void run_quantize_each(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                       const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  // Above what any zero point can bring back into 0..255, and small enough to convert.
  const typename V::Floats most = V::floats(512.0f);
  const typename V::Bytes los = V::bytes(lo), his = V::bytes(hi), flips = V::bytes(flip);
  const auto f = [&](typename V::Floats v, typename V::Floats scale, typename V::Ints zero) {
    const typename V::Floats r = V::min(scaled<V>(v, scale), most);
    const typename V::Bytes b = V::collect(V::pack(V::add(V::round(r), zero), 0));
    return V::exclusive_or(V::max_unsigned(V::min_unsigned(b, his), los), flips);
  };
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) {
    V::store(y + i, f(V::load(x + i), V::load(inverse_scale + i), V::load(zero_point + i)));
  }
  if (i < n) {
    const int64_t rest = n - i;
    V::store(
        y + i,
        f(V::load(x + i, rest), V::load(inverse_scale + i, rest), V::load(zero_point + i, rest)),
        rest);
  }
}

template <class V>
void run_dequantize_each(const uint8_t* x, float* y, int64_t n, const float* scale,
                         const int32_t* zero_point, uint8_t flip) {
  const typename V::Floats bias = V::floats(V::kBias);
  const typename V::Bytes flips = V::bytes(flip);
  const auto f = [&](typename V::Bytes v, typename V::Floats scales, typename V::Ints zero) {
    const typename V::Floats b = V::sub(V::widen(V::spread(V::exclusive_or(v, flips))), bias);
    return V::mul(V::sub(b, V::to_floats(zero)), scales);
  };
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) {
    V::store(y + i, f(V::load(x + i), V::load(scale + i), V::load(zero_point + i)));
  }
  if (i < n) {
    const int64_t rest = n - i;
    V::store(y + i,
             f(V::load(x + i, rest), V::load(scale + i, rest), V::load(zero_point + i, rest)),
             rest);
  }
}

// The element of `lanes` that is before all others.
template <class V, class Before>
float first_of(typename V::Part part, Before before) {
  float lanes[V::kFloats];
  V::store_part(lanes, part);
  for (int width = V::kFloats / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) {
      lanes[i] = before(lanes[i + width], lanes[i]) ? lanes[i + width] : lanes[i];
    }
  }
  return lanes[0];
}

// The last vector overlaps the one before it.
template <class V>
void run_min_max(const float* x, int64_t n, float* min, float* max) {
  typename V::Floats low = V::load(x, n < V::kBytes ? n : V::kBytes, x[0]), high = low;
  bool ordered = !V::has_nan(low);
  for (int64_t i = V::kBytes; i < n && ordered; i += V::kBytes) {
    const typename V::Floats v = V::load(x + (i + V::kBytes <= n ? i : n - V::kBytes));
    ordered = !V::has_nan(v);
    low = V::min(v, low);
    high = V::max(v, high);
  }
  const auto smaller = [](float a, float b) { return a < b; };
  const auto larger = [](float a, float b) { return a > b; };
  *min = ordered ? first_of<V>(V::min_part(low), smaller) + 0.0f : __builtin_nanf("");
  *max = ordered ? first_of<V>(V::max_part(high), larger) + 0.0f : __builtin_nanf("");
}

}  // namespace
}  // namespace qnative::quantize
