#pragma once

// exp and what is made of it. The same operations in the same order on every vector type, so that
// every ISA gives the same bits. Include after the vector types.

namespace qnative {
namespace {

// e^x = scale * (1 + rest) for |x| <= 87: scale = 2^n, n = rne(x / ln 2), rest = e^(x - n ln 2) - 1
// within 2e-8 of its value.
template <class V>
struct Exponential {
  typename V::Floats scale, rest;

  explicit Exponential(typename V::Floats x) {
    // 1.5 * 2^23: the sum has no fraction bits, so that the fma rounds, half to even.
    const typename V::Floats round = V::floats(12582912.0f);
    const typename V::Floats biased = V::fma(x, V::floats(1.44269504f), round);
    const typename V::Floats n = V::sub(biased, round);
    // ln 2 as the sum of two floats.
    typename V::Floats r = V::fma(n, V::floats(-0.693147182f), x);
    r = V::fma(n, V::floats(1.90465421e-9f), r);
    // The minimax polynomial of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2].
    typename V::Floats p = V::floats(0x1.6d98bap-10f);
    p = V::fma(p, r, V::floats(0x1.1227e6p-7f));
    p = V::fma(p, r, V::floats(0x1.555488p-5f));
    p = V::fma(p, r, V::floats(0x1.5554bp-3f));
    p = V::fma(p, r, V::floats(0.5f));
    rest = V::fma(V::mul(r, r), p, r);
    scale = V::power_of_two(biased);
  }
};

// x within [-bound, bound]; NaN stays.
template <class V>
typename V::Floats clamp(typename V::Floats x, float bound) {
  return V::max(V::floats(-bound), V::min(V::floats(bound), x));
}

// Within 1e-7 of 1 / (1 + e^-x), and within 3 ulp of it down to x = -87, where it stops.
template <class V>
typename V::Floats sigmoid(typename V::Floats x) {
  const Exponential<V> e(clamp<V>(V::sub(V::floats(0.0f), x), 87.0f));
  const typename V::Floats one = V::floats(1.0f);
  return V::div(one, V::add(one, V::fma(e.scale, e.rest, e.scale)));
}

// Within 2e-7 and 3 ulp of tanh x = u / (u + 2), u = e^2x - 1.
template <class V>
typename V::Floats tanh(typename V::Floats x) {
  const typename V::Floats bounded = clamp<V>(x, 10.0f);
  const Exponential<V> e(V::add(bounded, bounded));
  const typename V::Floats u = V::fma(e.scale, e.rest, V::sub(e.scale, V::floats(1.0f)));
  return V::div(u, V::add(u, V::floats(2.0f)));
}

}  // namespace
}  // namespace qnative
