#pragma once

#include <string.h>

#include "attention.h"
#include "blocks.h"
#include "row_scale.h"
#include "simd/activation.h"
#include "simd/requantize.h"
#include "simd/unroll.h"

// scalar.cpp over the vectors of an ISA:
//
//   V   bytes and four vectors of floats, simd/avx2.h or simd/avx512.h
//   R   one vector of floats, simd/real_avx2.h or simd/real_avx512.h, and
//       unordered(m, x, y)        a mask: m, or where x or y is NaN
//       any(m)                    whether it has a lane
//       first(x, n, y)            the first n lanes of x, y in the others
//       load_ints(p)              int32 as floats
//       add_bits(sum, x)          int32 lanes: sum + the bits of x
//       split(x[4], high, low)    of the 16 lower bits of each lane of four vectors, the bytes
//       combine(high, low)        float(256 * high + low) of int32
namespace qnative::attention {
namespace {

constexpr float kNan = __builtin_nanf("");
constexpr float kInfinity = __builtin_inff();

// ---- Scores of a row -----------------------------------------------------------------------

// f(t, j) for the vectors of [t, t + 4 * R::kLanes) that begin before n.
template <class R, class F>
[[gnu::always_inline]] inline void for_piece(int64_t t, int64_t n, const F& f) {
  for (int j = 0; j < 4 && t + j * R::kLanes < n; ++j) f(t + j * R::kLanes, j);
}

template <class R>
[[gnu::always_inline]] inline typename R::F load_first(const float* p, int64_t n) {
  float buffer[R::kLanes] = {};
  memcpy(buffer, p, n * sizeof(float));
  return R::load(buffer);
}

// to[t] = score(t) + mask[t] for t < n, then -infinity up to a whole vector. The largest of them,
// NaN when one is. score: of a vector; `to` may be what it reads.
template <class R, class Score>
float score_row(float* to, const float* mask, int64_t n, const Score& score) {
  using F = typename R::F;
  F most[4];
  for (F& m : most) m = R::set(-kInfinity);
  typename R::Mask nan = R::none();
  const auto take = [&](int64_t t, int j, F v) __attribute__((always_inline)) {
    R::store(to + t, v);
    most[j] = R::max(v, most[j]);
    nan = R::unordered(nan, v, v);
  };
  int64_t t = 0;
  if (mask == nullptr) {
    for (; t + 4 * R::kLanes <= n; t += 4 * R::kLanes) {
      for (int j = 0; j < 4; ++j) take(t + j * R::kLanes, j, score(t + j * R::kLanes));
    }
  } else {
    for (; t + R::kLanes <= n; t += R::kLanes) take(t, 0, R::add(score(t), R::load(mask + t)));
  }
  for (; t < n; t += R::kLanes) {
    const int64_t rest = n - t < R::kLanes ? n - t : R::kLanes;
    F v = score(t);
    if (mask != nullptr) v = R::add(v, load_first<R>(mask + t, rest));
    take(t, 0, R::first(v, rest, -kInfinity));
  }
  if (R::any(nan)) return kNan;
  const F largest = R::max(R::max(most[0], most[1]), R::max(most[2], most[3]));
  return R::fold(largest, [](F x, F y) { return R::max(x, y); });
}

template <class R>
int64_t run_probabilities(int32_t* x, float scale, const float* mask, int64_t n, int64_t width,
                          uint8_t* high, uint8_t* low) {
  using F = typename R::F;
  constexpr int64_t kPiece = 4 * R::kLanes;
  float* const scores = reinterpret_cast<float*>(x);
  const F factor = R::set(scale);
  const float largest =
      score_row<R>(scores, mask, n, [&](int64_t t) { return R::mul(R::load_ints(x + t), factor); });
  const bool is_finite = largest > -kInfinity && largest < kInfinity;
  const int64_t written = is_finite ? round_up(n, kPiece) : 0;
  // The bits of 2^23 + p are those of 2^23, and p.
  constexpr uint32_t kExponent = 0x4b000000;
  const F most = R::set(largest), top = R::set(65535.0f), exponent = R::set(8388608.0f);
  typename R::Ints total = R::zero();
  const auto probability = [&](int64_t t) __attribute__((always_inline)) {
    return R::fma(Functions<R>::exp(R::sub(R::load(scores + t), most)), top, exponent);
  };
  for (int64_t t = 0; t < written; t += kPiece) {
    F p[4] = {exponent, exponent, exponent, exponent};
    if (t + kPiece <= n) {
      for (int j = 0; j < 4; ++j) p[j] = probability(t + j * R::kLanes);
    } else {
      for_piece<R>(t, n, [&](int64_t at, int j) { p[j] = probability(at); });
    }
    for (int j = 0; j < 4; ++j) total = R::add_bits(total, p[j]);
    R::split(p, high + t, low + t);
  }
  if (written < width) {
    memset(high + written, 0, width - written);
    memset(low + written, 0, width - written);
  }
  if (!is_finite) return largest == -kInfinity ? 0 : kNanRow;
  uint32_t lanes[R::kLanes];
  R::store_bits(lanes, total);
  int64_t sum = 0;
  for (const uint32_t lane : lanes) {
    // Modulo 2^32, as the lanes are.
    sum += lane - kExponent * static_cast<uint32_t>(written / R::kLanes);
  }
  return sum;
}

// ---- Outputs -------------------------------------------------------------------------------

// f(i, load, store) for each whole vector of n elements, and for the rest of them.
template <class V, class F>
[[gnu::always_inline]] inline void for_vectors(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) {
    f(
        i, [](const auto* p) __attribute__((always_inline)) { return V::load(p); },
        [](auto* p, auto x) __attribute__((always_inline)) { V::store(p, x); });
  }
  if (i == n) return;
  const int64_t rest = n - i;
  f(
      i, [rest](const auto* p) __attribute__((always_inline)) { return V::load(p, rest); },
      [rest](auto* p, auto x) __attribute__((always_inline)) { V::store(p, x, rest); });
}

// float(256 * high + low)
template <class V, class R>
[[gnu::always_inline]] inline typename V::Floats combine_sums(typename V::Ints high,
                                                              typename V::Ints low) {
  return {R::combine(high.a, low.a), R::combine(high.b, low.b), R::combine(high.c, low.c),
          R::combine(high.d, low.d)};
}

// convert: from floats to what is stored.
template <class V, class R, class Y, class Convert>
void run_combine(const Combine& args, const int32_t* high, const int32_t* low, float multiplier,
                 Y* y, int64_t n, const Convert& convert) {
  const typename V::Floats of_row = V::floats(multiplier);
  for_vectors<V>(n, [&](int64_t i, auto load, auto store) __attribute__((always_inline)) {
    const typename V::Floats sum = combine_sums<V, R>(load(high + i), load(low + i));
    store(y + i, convert(V::fma(sum, V::mul(of_row, load(args.scale + i)), load(args.bias + i))));
  });
}

template <class V, class R>
void run_combine_bytes(const Combine& args, const int32_t* high, const int32_t* low,
                       float multiplier, uint8_t* y, int64_t n) {
  const VectorRequantize<V> requantize(args.requantize);
  run_combine<V, R>(args, high, low, multiplier, y, n,
                    [&](typename V::Floats r) { return V::collect(requantize(r)); });
}

template <class V, class R>
void run_combine_floats(const Combine& args, const int32_t* high, const int32_t* low,
                        float multiplier, float* y, int64_t n) {
  run_combine<V, R>(args, high, low, multiplier, y, n, [](typename V::Floats r) { return r; });
}

// ---- Inputs --------------------------------------------------------------------------------

// f of each of the four vectors of x, y, ...
template <class V, class F, class... X>
[[gnu::always_inline]] inline typename V::Floats map(const F& f, const X&... x) {
  return {f(x.a...), f(x.b...), f(x.c...), f(x.d...)};
}

template <class V, class R>
void run_measure_columns(const Floats& x, const Columns& to) {
  using F = typename R::F;
  for_vectors<V>(x.n, [&](int64_t c, auto load, auto store) __attribute__((always_inline)) {
    const typename V::Floats zero = V::floats(0.0f);
    typename V::Floats least = V::floats(kInfinity), most = V::floats(-kInfinity), nan = zero;
    const float* row = x.data + c;
    for (int64_t r = 0; r < x.rows; ++r, row += x.stride) {
      const typename V::Floats v = load(row);
      least = V::min(v, least);
      most = V::max(v, most);
      nan = V::fma(v, zero, nan);  // 0, and NaN from the first value on that is not finite
    }
    const typename V::Floats low = V::add(least, nan), halves = V::floats(0.5f);
    const typename V::Floats half = V::sub(V::mul(V::add(most, nan), halves), V::mul(low, halves));
    const F none = R::set(0.0f), smallest = R::set(kMinNormal), one = R::set(1.0f);
    const auto scale = map<V>(
        [&](F h) {
          const F quotient = R::div(h, R::set(127.5f));
          return R::less(none, h, R::max(quotient, smallest), quotient);
        },
        half);
    const auto inverse =
        map<V>([&](F h, F s) { return R::less(none, h, R::div(one, s), h); }, half, scale);
    // Infinities times 0 give a NaN of other bits than a NaN does.
    const auto plain = [](const typename V::Floats& x) __attribute__((always_inline)) {
      return map<V>([](F v) { return R::if_nan(v, R::set(kNan), v); }, x);
    };
    store(to.low + c, plain(low));
    store(to.scale + c, plain(scale));
    store(to.inverse + c, plain(inverse));
    store(to.shift + c, plain(V::mul(V::sub(V::floats(-0.0f), low), inverse)));
  });
}

template <class V>
void run_quantize_columns(const Floats& x, const Columns& columns, uint8_t* y, int64_t y_stride) {
  const VectorRequantize<V> requantize({.zero_point = 0, .lo = 0, .hi = 255, .flip = 0});
  for_vectors<V>(x.n, [&](int64_t c, auto load, auto store) __attribute__((always_inline)) {
    const typename V::Floats inverse = load(columns.inverse + c), shift = load(columns.shift + c);
    const float* row = x.data + c;
    uint8_t* to = y + c;
    for (int64_t r = 0; r < x.rows; ++r, row += x.stride, to += y_stride) {
      store(to, V::collect(requantize(V::fma(load(row), inverse, shift))));
    }
  });
}

// The smallest and the largest of row[c] * factor[c] and 0, both NaN when one is not finite.
struct Span {
  float low, high;
};
template <class V, class R>
[[gnu::always_inline]] inline Span span_of(const float* row, const float* factor, int64_t n) {
  const typename V::Floats zero = V::floats(0.0f);
  typename V::Floats least = zero, most = zero, nan = zero;
  for_vectors<V>(n, [&](int64_t c, auto load, auto) __attribute__((always_inline)) {
    const typename V::Floats v = V::mul(load(row + c), load(factor + c));
    least = V::min(v, least);
    most = V::max(v, most);
    nan = V::fma(v, zero, nan);
  });
  least = V::add(least, nan);
  most = V::add(most, nan);
  const auto smaller = [](auto x, auto y) { return R::min(x, y); };
  const auto larger = [](auto x, auto y) { return R::max(x, y); };
  if (V::has_nan(least)) return {kNan, kNan};
  return {R::fold(smaller(smaller(least.a, least.b), smaller(least.c, least.d)), smaller),
          R::fold(larger(larger(most.a, most.b), larger(most.c, most.d)), larger)};
}

template <class V, class R>
void run_quantize_rows(const Floats& x, const float* factor, const QuantizedRows& to) {
  const float* row = x.data;
  uint8_t* y = to.y;
  for (int64_t r = 0; r < x.rows; ++r, row += x.stride, y += to.y_stride) {
    const Span span = span_of<V, R>(row, factor, x.n);
    if (span.low != span.low) {
      memset(y, 0, x.n);
      to.scale[r] = kNan;
      to.zero_point[r] = 0;
      continue;
    }
    const RowScale scale = row_scale(span.low, span.high);
    to.scale[r] = scale.scale;
    to.zero_point[r] = -scale.zero_point;
    const typename V::Floats inverse = V::floats(scale.inverse);
    const VectorRequantize<V> requantize(
        {.zero_point = scale.zero_point, .lo = 0, .hi = 255, .flip = 0});
    for_vectors<V>(x.n, [&](int64_t c, auto load, auto store) __attribute__((always_inline)) {
      const typename V::Floats v = V::mul(load(row + c), load(factor + c));
      store(y + c, V::collect(requantize(V::mul(v, inverse))));
    });
  }
}

// ---- Few rows ------------------------------------------------------------------------------

// The sum of kLanes lanes in vectors.
template <class R, int kVectors>
[[gnu::always_inline]] inline float sum_lanes(typename R::F (&lanes)[kVectors]) {
  static_assert(kVectors == 1 || kVectors == 2);
  const auto add = [](typename R::F x, typename R::F y) { return R::add(x, y); };
  return R::fold(kVectors == 1 ? lanes[0] : add(lanes[0], lanes[kVectors - 1]), add);
}

template <class R>
[[gnu::always_inline]] inline float dot(const float* a, const float* b, int64_t n) {
  constexpr int kVectors = kLanes / R::kLanes;
  typename R::F sums[kVectors];
  for (auto& sum : sums) sum = R::set(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int j = 0; j < kVectors; ++j) {
      const int64_t at = i + j * R::kLanes;
      sums[j] = R::fma(R::load(a + at), R::load(b + at), sums[j]);
    }
  }
  for (int j = 0; i < n; i += R::kLanes, ++j) {
    const int64_t rest = n - i < R::kLanes ? n - i : R::kLanes;
    sums[j] = R::fma(load_first<R>(a + i, rest), load_first<R>(b + i, rest), sums[j]);
  }
  return sum_lanes<R>(sums);
}

// Scores of a row to exponentials, 0 up to `padded`. Returns the factor of a sum with the
// values: 0 or NaN for a row with that result.
template <class R>
float exponentiate(float* x, const float* mask, int64_t n, int64_t padded) {
  constexpr int kVectors = kLanes / R::kLanes;
  const float largest = score_row<R>(x, mask, n, [&](int64_t t) { return R::load(x + t); });
  const typename R::F most = R::set(largest);
  for (int64_t t = 0; t < n; t += R::kLanes) {
    R::store(x + t, Functions<R>::exp(R::sub(R::load(x + t), most)));
  }
  for (int64_t t = n; t < padded; ++t) x[t] = 0;
  typename R::F sums[kVectors];
  for (auto& sum : sums) sum = R::set(0.0f);
  for (int64_t t = 0; t < padded; t += kLanes) {
    for (int j = 0; j < kVectors; ++j) sums[j] = R::add(sums[j], R::load(x + t + j * R::kLanes));
  }
  if (largest == -kInfinity) return 0;
  return largest < kInfinity ? 1 / sum_lanes<R>(sums) : kNan;
}

template <class V, class R, int kRows>
void sum_values(const FloatRows& args, const float* e, int64_t e_stride,
                const float (&inverse)[kMaxRows]) {
  const Floats& v = args.v;
  for_vectors<V>(v.n, [&](int64_t n, auto load, auto store) __attribute__((always_inline)) {
    typename V::Floats sums[kRows];
    unroll<kRows>([&](auto r) __attribute__((always_inline)) { sums[r] = V::floats(0.0f); });
    const float* row = v.data + n;
    for (int64_t t = 0; t < v.rows; ++t, row += v.stride) {
      const typename V::Floats values = load(row);
      unroll<kRows>([&](auto r) __attribute__((always_inline)) {
        sums[r] = V::fma(V::floats(e[r * e_stride + t]), values, sums[r]);
      });
    }
    unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      const bool is_number = inverse[r] > 0;
      const typename V::Floats factor = V::floats(inverse[r]);
      const auto plain = [](typename R::F x) { return R::if_nan(x, R::set(kNan), x); };
      store(args.y + r * args.y_stride + n,
            is_number ? map<V>(plain, V::mul(sums[r], factor)) : factor);
    });
  });
}

template <class V, class R>
void run_float_rows(const FloatRows& args, float* scratch) {
  const Floats &q = args.q, &k = args.k;
  const int64_t stride = round_up(k.rows, kBlock);
  float inverse[kMaxRows];
  for (int64_t t = 0; t < k.rows; ++t) {
    const float* key = k.data + t * k.stride;
    for (int64_t r = 0; r < q.rows; ++r) {
      scratch[r * stride + t] = dot<R>(q.data + r * q.stride, key, q.n) * args.scale;
    }
  }
  for (int64_t r = 0; r < q.rows; ++r) {
    const float* mask = args.mask == nullptr ? nullptr : args.mask[r];
    inverse[r] = exponentiate<R>(scratch + r * stride, mask, args.keys[r], stride);
  }
  static_assert(kMaxRows == 4);
  using SumFn = void(const FloatRows&, const float*, int64_t, const float (&)[kMaxRows]);
  static constexpr SumFn* kSums[] = {sum_values<V, R, 1>, sum_values<V, R, 2>, sum_values<V, R, 3>,
                                     sum_values<V, R, 4>};
  if (q.rows > 0) kSums[q.rows - 1](args, scratch, stride, inverse);
}

}  // namespace
}  // namespace qnative::attention
