#pragma once

#include "quantize.h"
#include "simd/elements.h"

namespace qnative::quantize {
namespace {

// x * scale, 0 where that is NaN. A branch that is never taken costs less than two operations per
// vector.
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
void run_quantize_words(const float* x, int16_t* y, int64_t n, float inverse_scale,
                        const Requantize& q) {
  const typename V::Floats scale = V::floats(inverse_scale);
  const StoreWords<V> store(y, q);
  for_each_vector<V>(n, [&](int64_t i, auto... count) {
    store(i, scaled<V>(V::load(x + i, count...), scale), count...);
  });
}

template <class V>
void run_dequantize_words(const int16_t* x, float* y, int64_t n, float scale) {
  const typename V::Floats scales = V::floats(scale);
  for_each_vector<V>(n, [&](int64_t i, auto... count) {
    V::store(y + i, V::mul(V::load(x + i, count...), scales), count...);
  });
}

template <class V>
void run_quantize_each(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                       const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  // Large enough to saturate with any zero point, and small enough to convert.
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

// R: vectors of simd/real_*.h with fold(x, op), op over all lanes, and above(x, y), a bit mask of
// the lanes with x > y.
template <class R>
Summary run_summarize(const float* x, int64_t n) {
  using F = typename R::F;
  constexpr int kVectors = 32 / R::kLanes;
  const auto smaller = [](F a, F b) { return R::min(a, b); };
  const auto larger = [](F a, F b) { return R::max(a, b); };
  const auto plus = [](F a, F b) { return R::add(a, b); };
  F low[kVectors], high[kVectors], sum[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    low[v] = high[v] = R::set(x[0]);
    sum[v] = R::set(0.0f);
  }
  const auto take = [&](const float* values, const float* addends) {
    for (int v = 0; v < kVectors; ++v) {
      const F value = R::load(values + v * R::kLanes);
      low[v] = R::min(value, low[v]);
      high[v] = R::max(value, high[v]);
      sum[v] = R::add(sum[v], R::abs(R::load(addends + v * R::kLanes)));
    }
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) take(x + i, x + i);
  if (i < n) {
    float values[32], addends[32];
    for (int l = 0; l < 32; ++l) {
      values[l] = l < n - i ? x[i + l] : x[0];
      addends[l] = l < n - i ? x[i + l] : 0.0f;
    }
    take(values, addends);
  }
  for (int width = kVectors / 2; width > 0; width /= 2) {
    for (int v = 0; v < width; ++v) {
      low[v] = R::min(low[v], low[v + width]);
      high[v] = R::max(high[v], high[v + width]);
      sum[v] = R::add(sum[v], sum[v + width]);
    }
  }
  const float magnitudes = R::fold(sum[0], plus), nan = __builtin_nanf("");
  // A sum of magnitudes is NaN only if x has a NaN.
  if (magnitudes != magnitudes) return {nan, nan, nan};
  return {R::fold(low[0], smaller) + 0.0f, R::fold(high[0], larger) + 0.0f, magnitudes};
}

template <class R>
int64_t run_find_above(const float* x, int64_t n, float threshold, int32_t* positions,
                       int64_t limit) {
  const typename R::F least = R::set(threshold);
  int64_t count = 0;
  const auto add = [&](int64_t i) {
    if (count < limit) positions[count] = static_cast<int32_t>(i);  // n < 2^31
    return ++count <= limit;
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    uint32_t found = 0;
    for (int l = 0; l < 32; l += R::kLanes) {
      found |= R::above(R::abs(R::load(x + i + l)), least) << l;
    }
    for (; found != 0; found &= found - 1) {
      if (!add(i + __builtin_ctz(found))) return count;
    }
  }
  for (; i < n; ++i) {
    if (__builtin_fabsf(x[i]) > threshold && !add(i)) break;
  }
  return count;
}

}  // namespace
}  // namespace qnative::quantize
