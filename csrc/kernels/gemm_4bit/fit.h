#pragma once

#include "gemm_4bit.h"

// Codes of weights, over the vectors R of simd/real_*.h.
namespace qnative::gemm_4bit {
namespace {

// rne(clamp(w * inverse_scale, -8, 7))
template <class R>
typename R::F code_of(typename R::F w, typename R::F inverse_scale) {
  const typename R::F shift = R::set(12582912.0f);  // 1.5 * 2^23: the sum has no fraction bits
  const typename R::F real = R::min(R::max(R::mul(w, inverse_scale), R::set(-8.0f)), R::set(7.0f));
  return R::sub(R::add(real, shift), shift);
}

// Lanes are candidates.
template <class R>
void run_fit(const float* w, int64_t n, float peak, const float* scales, Fit& fit) {
  using F = typename R::F;
  for (int j = 0; j < kCandidates; j += R::kLanes) {
    const F scale = R::load(scales + j), inverse = R::div(R::set(1.0f), scale);
    F error = R::set(0.0f), product = error, square = error;
    for (int64_t k = 0; k < n; ++k) {
      const F v = R::set(w[k] / peak), code = code_of<R>(v, inverse);
      const F difference = R::sub(v, R::mul(code, scale));
      error = R::add(error, R::mul(difference, difference));
      product = R::add(product, R::mul(code, v));
      square = R::add(square, R::mul(code, code));
    }
    R::store(fit.error + j, error);
    R::store(fit.product + j, product);
    R::store(fit.square + j, square);
  }
}

}  // namespace
}  // namespace qnative::gemm_4bit
