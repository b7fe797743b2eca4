#pragma once

#include "elementwise.h"
#include "simd/elements.h"

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

  typename V::Floats operator()(typename V::Floats a, typename V::Floats b) const {
    return V::mul(V::mul(a, b), multiplier);
  }
};

// All of bytes: the order of elements within a vector does not matter.
template <class V, template <class> class Op>
void run_bytes(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  const VectorInput<V> a_input(args.a_flip, args.a_zero_point);
  const VectorInput<V> b_input(args.b_flip, args.b_zero_point);
  const Op<V> op(args);
  const VectorRequantize<V> requantize(args.requantize);
  for_each_vector<V>(n, [&](int64_t i, auto... count) {
    const typename V::Bytes a_bytes = V::load(a + i, count...), b_bytes = V::load(b + i, count...);
    V::store(y + i, requantize(op(a_input(a_bytes), b_input(b_bytes))), count...);
  });
}

template <class V, template <class> class Op, class A, class B, class Y>
void run_mixed(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  const A a_input(a, args.a_flip, args.a_zero_point);
  const B b_input(b, args.b_flip, args.b_zero_point);
  const Op<V> op(args);
  const Y output(y, args.requantize);
  for_each_vector<V>(n, [&](int64_t i, auto... count) {
    output(i, op(a_input(i, count...), b_input(i, count...)), count...);
  });
}

template <class V, template <class> class Op, class A, class B>
void run_to(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  if (args.y_is_word) {
    run_mixed<V, Op, A, B, StoreWords<V>>(args, a, b, y, n);
  } else {
    run_mixed<V, Op, A, B, StoreBytes<V>>(args, a, b, y, n);
  }
}

template <class V, template <class> class Op>
void run(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  if (args.a_is_word && args.b_is_word) {
    run_to<V, Op, LoadWords<V>, LoadWords<V>>(args, a, b, y, n);
  } else if (args.a_is_word) {
    run_to<V, Op, LoadWords<V>, LoadBytes<V>>(args, a, b, y, n);
  } else if (args.b_is_word) {
    run_to<V, Op, LoadBytes<V>, LoadWords<V>>(args, a, b, y, n);
  } else if (args.y_is_word) {
    run_mixed<V, Op, LoadBytes<V>, LoadBytes<V>, StoreWords<V>>(args, a, b, y, n);
  } else {
    run_bytes<V, Op>(args, static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b),
                     static_cast<uint8_t*>(y), n);
  }
}

}  // namespace
}  // namespace qnative::elementwise
