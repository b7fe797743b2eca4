#pragma once

#include "float_activation.h"

// exp, erf, sigmoid, tanh and the activations made of them, over the vectors of simd/real_*.h. The
// steps and their order are the definition: every ISA gives the same bits. NaN gives NaN.
namespace qnative {
namespace {

template <class R>
struct Functions {
  using F = typename R::F;

  template <int kCount>
  static F polynomial(F x, const float (&coefficients)[kCount]) {
    F sum = R::set(coefficients[kCount - 1]);
    for (int i = kCount - 2; i >= 0; --i) sum = R::fma(sum, x, R::set(coefficients[i]));
    return sum;
  }

  // Error about 1 ulp. Infinity from 88.4 on, never below 2^-126.
  static F exp(F x) {
    // exp(r) = 1 + r + r^2 * p(r) for |r| <= ln(2) / 2, error 3e-9
    static constexpr float kP[] = {0.5f, 0.16666518f, 0.041666202f, 0.008369025f, 0.0013950723f};
    x = R::max(R::set(-87.0f), R::min(R::set(89.0f), x));
    // 1.5 * 2^23: the sum has no fraction bits, and its low bits are n.
    const F shift = R::set(12582912.0f);
    const F t = R::fma(x, R::set(1.44269504f), shift);
    const F n = R::sub(t, shift);
    F r = R::fma(n, R::set(-0.693359375f), x);
    r = R::fma(n, R::set(2.12194440e-4f), r);
    const F e = R::fma(R::mul(r, r), polynomial(r, kP), r);
    return R::mul(R::add(e, R::set(1.0f)), R::exp2_of(t));
  }

  // z * p(z^2) / q(z^2) for |z| < 4, relative error 2.5e-8. At 4 it is 1, which is also the float
  // nearest to erf beyond 4.
  static F erf(F z) {
    static constexpr float kP[] = {1.1283791f,    0.19354323f,    0.053101465f,
                                   0.0038832526f, 0.00028456165f, 1.9867693e-06f};
    static constexpr float kQ[] = {1.0f,         0.50485575f,   0.1153492f,
                                   0.015207074f, 0.0011855447f, 3.7419813e-05f};
    z = R::max(R::set(-4.0f), R::min(R::set(4.0f), z));
    const F u = R::mul(z, z);
    const F e = R::div(R::mul(z, polynomial(u, kP)), polynomial(u, kQ));
    return R::max(R::set(-1.0f), R::min(R::set(1.0f), e));
  }

  // x / (1 + exp(-v)): x times the sigmoid of v
  static F gated(F x, F v) { return R::div(x, R::add(R::set(1.0f), exp(R::sub(R::set(0.0f), v)))); }
  static F sigmoid(F x) { return gated(R::set(1.0f), x); }
  static F silu(F x) { return gated(x, x); }

  static F tanh(F x) {
    // x + x^3 * p(x^2) for |x| < 0.625, error 5e-9
    static constexpr float kP[] = {-0.3333328f, 0.13331361f, -0.053732067f, 0.020611582f,
                                   -0.0056717712f};
    const F u = R::mul(x, x), one = R::set(1.0f), magnitude = R::abs(x);
    const F small = R::fma(R::mul(x, u), polynomial(u, kP), x);
    const F e = exp(R::add(magnitude, magnitude));
    const F large = R::sub(one, R::div(R::set(2.0f), R::add(e, one)));
    return R::less(magnitude, R::set(0.625f), small, R::copysign(large, x));
  }

  static F gelu(F x) {
    const F half = R::set(0.5f);
    return R::mul(x, R::fma(half, erf(R::mul(x, R::set(0.70710678f))), half));
  }

  // 0.5 * (1 + tanh(w)) = sigmoid(2 * w), w = sqrt(2 / pi) * (x + 0.044715 * x^3)
  static F gelu_tanh(F x) {
    const F slope = R::fma(R::mul(x, x), R::set(0.0713548163f), R::set(1.59576912f));
    return gated(x, R::mul(x, slope));
  }

  // min and max return the second operand for NaN.
  static F hardsigmoid(F x) {
    const F gate = R::min(R::set(6.0f), R::max(R::set(0.0f), R::add(x, R::set(3.0f))));
    return R::div(gate, R::set(6.0f));
  }
  static F hardswish(F x) { return R::mul(x, hardsigmoid(x)); }
};

template <class R>
typename R::F activate(FloatActivation activation, typename R::F x) {
  switch (activation) {
    case FloatActivation::kGelu:
      return Functions<R>::gelu(x);
    case FloatActivation::kGeluTanh:
      return Functions<R>::gelu_tanh(x);
    case FloatActivation::kSilu:
      return Functions<R>::silu(x);
    case FloatActivation::kSigmoid:
      return Functions<R>::sigmoid(x);
    case FloatActivation::kTanh:
      return Functions<R>::tanh(x);
    case FloatActivation::kHardswish:
      return Functions<R>::hardswish(x);
    case FloatActivation::kHardsigmoid:
      return Functions<R>::hardsigmoid(x);
    case FloatActivation::kNone:
      break;
  }
  return x;
}

}  // namespace
}  // namespace qnative
