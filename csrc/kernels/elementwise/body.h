#pragma once

#include "elementwise.h"
#include "simd/requantize.h"

namespace qnative::elementwise {
namespace {

template <class V>
struct Add {
  typename V::Floats a_multiplier, b_multiplier;

  explicit Add(const Args& args)
      : a_multiplier(V::floats(args.a_multiplier)), b_multiplier(V::floats(args.b_multiplier)) {}

  typename V::Floats operator()(typename V::Floats a, typename V::Floats b) const {
    return V::fma(a, a_multiplier, V::mul(b, b_multiplier));
  }
};

template <class V>
struct Mul {
  typename V::Floats multiplier;

  explicit Mul(const Args& args) : multiplier(V::floats(args.a_multiplier)) {}

  // a * b has 17 bits: exact.
  typename V::Floats operator()(typename V::Floats a, typename V::Floats b) const {
    return V::mul(V::mul(a, b), multiplier);
  }
};

template <class V, template <class> class Op>
void run(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  const VectorInput<V> a_input(args.a_flip, args.a_zero_point);
  const VectorInput<V> b_input(args.b_flip, args.b_zero_point);
  const Op<V> op(args);
  const VectorRequantize<V> requantize(args.requantize);
  const auto f = [&](typename V::Bytes a_bytes, typename V::Bytes b_bytes) {
    return requantize(op(a_input(a_bytes), b_input(b_bytes)));
  };
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) V::store(y + i, f(V::load(a + i), V::load(b + i)));
  if (i < n) V::store(y + i, f(V::load(a + i, n - i), V::load(b + i, n - i)), n - i);
}

}  // namespace
}  // namespace qnative::elementwise
