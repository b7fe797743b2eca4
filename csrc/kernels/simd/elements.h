#pragma once

// Loads of quantized numbers as floats and stores of floats as quantized numbers, uint8 or int16,
// all in the order of memory. Include after simd/words_*.h. A last argument `count` is that of the
// elements of a vector that are there.

#include "simd/requantize.h"

namespace qnative {
namespace {

// x - zero_point of bytes.
template <class V>
struct LoadBytes {
  const uint8_t* x;
  VectorInput<V> input;

  LoadBytes(const void* x, uint8_t flip, int32_t zero_point)
      : x(static_cast<const uint8_t*>(x)), input(flip, zero_point) {}
  template <class... Count>
  typename V::Floats operator()(int64_t i, Count... count) const {
    return input(V::spread(V::load(x + i, count...)));
  }
};

template <class V>
struct LoadWords {
  const int16_t* x;

  LoadWords(const void* x, uint8_t /*flip*/, int32_t /*zero_point*/)
      : x(static_cast<const int16_t*>(x)) {}
  template <class... Count>
  typename V::Floats operator()(int64_t i, Count... count) const {
    return V::load(x + i, count...);
  }
};

template <class V>
struct StoreBytes {
  uint8_t* y;
  VectorRequantize<V> requantize;

  StoreBytes(void* y, const Requantize& q) : y(static_cast<uint8_t*>(y)), requantize(q) {}
  template <class... Count>
  void operator()(int64_t i, typename V::Floats r, Count... count) const {
    V::store(y + i, V::collect(requantize(r)), count...);
  }
};

template <class V>
struct StoreWords {
  int16_t* y;
  typename V::Floats lo, hi;

  StoreWords(void* y, const Requantize& q)
      : y(static_cast<int16_t*>(y)),
        lo(V::floats(static_cast<float>(q.lo))),
        hi(V::floats(static_cast<float>(q.hi))) {}
  template <class... Count>
  void operator()(int64_t i, typename V::Floats r, Count... count) const {
    V::store(y + i, V::round(V::max(V::min(r, hi), lo)), count...);
  }
};

template <class V>
struct StoreFloats {
  float* y;

  StoreFloats(void* y, const Requantize& /*q*/) : y(static_cast<float*>(y)) {}
  template <class... Count>
  void operator()(int64_t i, typename V::Floats r, Count... count) const {
    V::store(y + i, r, count...);
  }
};

// f(i) for whole vectors of n elements, and f(i, count) for a last one.
template <class V, class F>
void for_each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) f(i);
  if (i < n) f(i, n - i);
}

}  // namespace
}  // namespace qnative
