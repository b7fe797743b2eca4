#pragma once

// requantize.h over the vectors of simd/avx2.h and simd/avx512.h. Include after them.

#include "requantize.h"

namespace qnative {
namespace {

// Bytes as exact floats x - zero_point, in the order of V::widen.
template <class V>
struct VectorInput {
  typename V::Bytes flip;
  typename V::Floats bias;

  VectorInput(uint8_t flip, int32_t zero_point)
      : flip(V::bytes(flip)), bias(V::floats(V::kBias + static_cast<float>(zero_point))) {}

  typename V::Floats operator()(typename V::Bytes x) const {
    return V::sub(V::widen(V::exclusive_or(x, flip)), bias);
  }
};

template <class V>
struct VectorRequantize {
  typename V::Floats hi;
  typename V::Bytes lo, flip;
  int zero_point;

  explicit VectorRequantize(const Requantize& q)
      : hi(V::floats(static_cast<float>(q.hi - q.zero_point))),
        lo(V::bytes(q.lo)),
        flip(V::bytes(q.flip)),
        zero_point(q.zero_point) {}

  // Only the upper bound must precede the conversion: values below int32 become INT32_MIN, which
  // saturates to the right side.
  typename V::Bytes operator()(typename V::Floats r) const {
    const typename V::Bytes y = V::pack(V::round(V::min(r, hi)), zero_point);
    return V::exclusive_or(V::max_unsigned(y, lo), flip);
  }
};

}  // namespace
}  // namespace qnative
