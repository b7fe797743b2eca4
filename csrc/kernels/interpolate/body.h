#pragma once

#include <string.h>

#include "interpolate.h"
#include "simd/requantize.h"

// Over the vectors V of simd/avx2.h or simd/avx512.h, and R of simd/real_*.h.
namespace qnative::interpolate {
namespace {

template <class V>
void widen_row(const RowArgs& args, const uint8_t* x, float* wide) {
  const typename V::Bytes flip = V::bytes(args.flip);
  const typename V::Floats bias = V::floats(V::kBias + static_cast<float>(args.zero_point));
  const auto centred = [&](typename V::Bytes bytes) {
    return V::sub(V::widen(V::spread(V::exclusive_or(bytes, flip))), bias);
  };
  const int64_t n = args.pixels * args.channels;
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) V::store(wide + i, centred(V::load(x + i)));
  V::store(wide + i, centred(V::load(x + i, n - i)));
}

template <class R>
void widen_row(const RowArgs& args, const uint16_t* x, float* wide) {
  const int64_t n = args.pixels * args.channels;
  int64_t i = 0;
  for (; i + R::kLanes <= n; i += R::kLanes) R::store(wide + i, R::load_half(x + i));
  uint16_t rest[R::kLanes] = {};
  memcpy(rest, x + i, (n - i) * sizeof(*x));
  R::store(wide + i, R::load_half(rest));
}

// Writes whole vectors: the next pixel overwrites what is written after the channels of a pixel.
template <class R, int taps>
void run_vectors(const RowArgs& args, const float* wide, float* t) {
  const int32_t* index = args.index;
  const float* weight = args.weight;
  for (int64_t o = 0; o < args.outputs; ++o, index += taps, weight += taps, t += args.channels) {
    for (int64_t c = 0; c < args.channels; c += R::kLanes) {
      const auto value = [&](int k) { return R::load(wide + index[k] * args.channels + c); };
      typename R::F sum = R::mul(value(0), R::set(weight[0]));
      for (int k = 1; k < taps; ++k) sum = R::fma(value(k), R::set(weight[k]), sum);
      R::store(t + c, sum);
    }
  }
}

// For pixels of one channel.
template <int taps>
void run_values(const RowArgs& args, const float* wide, float* t) {
  const int32_t* index = args.index;
  const float* weight = args.weight;
  for (int64_t o = 0; o < args.outputs; ++o, index += taps, weight += taps) {
    float sum = wide[index[0]] * weight[0];
    for (int k = 1; k < taps; ++k) sum = __builtin_fmaf(wide[index[k]], weight[k], sum);
    t[o] = sum;
  }
}

template <class R, int taps>
void run_taps(const RowArgs& args, const float* wide, float* t) {
  args.channels == 1 ? run_values<taps>(args, wide, t) : run_vectors<R, taps>(args, wide, t);
}

template <class R>
void sum_taps(const RowArgs& args, const float* wide, float* t) {
  if (args.taps == 1) return run_taps<R, 1>(args, wide, t);
  if (args.taps == 2) return run_taps<R, 2>(args, wide, t);
  run_taps<R, 4>(args, wide, t);
}

template <class V, class R>
void run_row(const RowArgs& args, const uint8_t* x, float* wide, float* t) {
  widen_row<V>(args, x, wide);
  sum_taps<R>(args, wide, t);
}

template <class R>
void run_row_fp16(const RowArgs& args, const uint16_t* x, float* wide, float* t) {
  widen_row<R>(args, x, wide);
  sum_taps<R>(args, wide, t);
}

// Calls store(i, sums) for the vectors that begin at i.
template <class V, int rows, int planes, class Store>
void run_columns(const ColumnArgs& args, int64_t n, const Store& store) {
  using Floats = typename V::Floats;
  const auto plane = [&](int p, int64_t i) {
    const auto value = [&](int j) { return V::load(args.t[p * rows + j] + i); };
    Floats sum = V::mul(value(0), V::floats(args.row_weight[0]));
    for (int j = 1; j < rows; ++j) sum = V::fma(value(j), V::floats(args.row_weight[j]), sum);
    return sum;
  };
  for (int64_t i = 0; i < n; i += V::kBytes) {
    Floats sum = V::mul(plane(0, i), V::floats(args.plane_weight[0]));
    for (int p = 1; p < planes; ++p) {
      sum = V::fma(plane(p, i), V::floats(args.plane_weight[p]), sum);
    }
    store(i, sum);
  }
}

template <class V, class Store>
void sum_rows(const ColumnArgs& args, int64_t n, const Store& store) {
  if (args.planes == 2) return run_columns<V, 2, 2>(args, n, store);
  if (args.rows == 1) return run_columns<V, 1, 1>(args, n, store);
  if (args.rows == 2) return run_columns<V, 2, 1>(args, n, store);
  run_columns<V, 4, 1>(args, n, store);
}

template <class V>
void run_column(const ColumnArgs& args, int64_t n, uint8_t* y) {
  const VectorRequantize<V> requantize(args.requantize);
  const typename V::Floats multiplier = V::floats(args.multiplier);
  sum_rows<V>(args, n, [&](int64_t i, typename V::Floats sum) {
    const typename V::Bytes bytes = V::collect(requantize(V::mul(sum, multiplier)));
    n - i >= V::kBytes ? V::store(y + i, bytes) : V::store(y + i, bytes, n - i);
  });
}

template <class V, class R>
void run_column_fp16(const ColumnArgs& args, int64_t n, uint16_t* y) {
  sum_rows<V>(args, n, [&](int64_t i, typename V::Floats sum) {
    uint16_t part[V::kBytes];
    const bool whole = n - i >= V::kBytes;
    uint16_t* const to = whole ? y + i : part;
    R::store_half(to, sum.a);
    R::store_half(to + R::kLanes, sum.b);
    R::store_half(to + 2 * R::kLanes, sum.c);
    R::store_half(to + 3 * R::kLanes, sum.d);
    if (!whole) memcpy(y + i, part, (n - i) * sizeof(*y));
  });
}

}  // namespace
}  // namespace qnative::interpolate
