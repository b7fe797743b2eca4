#pragma once

#include <stdint.h>
#include <string.h>

#include "embedding.h"
#include "simd/unroll.h"

// Over a vector type R of simd/real_*.h with
//   bytes(p), nibbles(p)   R::kLanes numbers as floats, in the order of memory
//   bytes(p, n)            the first n; the others are undefined. May read 8 bytes more than n:
//                          each row ends in scale and bias. nibbles(p) reads at most 8 bytes.
//   store(p, x, n)         the first n lanes
namespace qnative::embedding {
namespace {

// Entries ahead of the prefetch: rows are anywhere in memory, and no hardware predicts where.
constexpr int64_t kAhead = 16;

// Prefetches a row: the same number of lines for all rows of a table, so that no branch is
// mispredicted. Rows whose size is a multiple of 8 bytes begin at a multiple of 8.
[[gnu::always_inline]] inline void prefetch(const Table& table, int64_t row, int64_t bytes) {
  constexpr int64_t kLine = 64;
  const int64_t latest = kLine - (bytes % 8 == 0 ? 8 : 1);
  const int64_t lines = (latest + bytes + kLine - 1) / kLine;
  const uint8_t* data = table.data + row * bytes;
  for (int64_t i = 0; i < lines - 1; ++i) __builtin_prefetch(data + i * kLine);
  __builtin_prefetch(data + bytes - 1);
}

// The values of one row.
template <class R, int kBits>
struct Row {
  const uint8_t* data;
  typename R::F scale, bias;

  [[gnu::always_inline]] Row(const Table& table, int64_t row, int64_t bytes)
      : data(table.data + row * bytes) {
    float params[2];
    memcpy(params, data + bytes - kParamBytes, sizeof(params));
    scale = R::set(params[0]);
    bias = R::set(params[1]);
  }

  // Columns [column, column + R::kLanes).
  [[gnu::always_inline]] typename R::F values(int64_t column) const {
    return R::fma(kBits == 8 ? R::bytes(data + column) : R::nibbles(data + column / 2), scale,
                  bias);
  }
  // The first n of them.
  [[gnu::always_inline]] typename R::F values(int64_t column, int64_t n) const {
    return R::fma(kBits == 8 ? R::bytes(data + column, n) : R::nibbles(data + column / 2), scale,
                  bias);
  }
};

template <class R, int kBits>
void run_rows(const Table& table, const int64_t* indices, int64_t n, float* y) {
  const int64_t bytes = row_bytes(kBits, table.dim);
  for (int64_t i = 0; i < n; ++i, y += table.dim) {
    if (i + kAhead < n) prefetch(table, indices[i + kAhead], bytes);
    const Row<R, kBits> row(table, indices[i], bytes);
    int64_t d = 0;
    for (; d + R::kLanes <= table.dim; d += R::kLanes) R::store(y + d, row.values(d));
    const int64_t rest = table.dim - d;
    if (rest > 0) R::store(y + d, row.values(d, rest), rest);
  }
}

template <class R>
struct Sum {
  using F = typename R::F;
  static constexpr float kStart = 0;
  [[gnu::always_inline]] static F step(F a, F v, float) { return R::add(a, v); }
};

template <class R>
struct WeightedSum {
  using F = typename R::F;
  static constexpr float kStart = 0;
  [[gnu::always_inline]] static F step(F a, F v, float weight) {
    return R::fma(v, R::set(weight), a);
  }
};

template <class R>
struct Max {
  using F = typename R::F;
  static constexpr float kStart = -__builtin_inff();
  [[gnu::always_inline]] static F step(F a, F v, float) { return R::max(v, a); }
};

// Columns of one bag: kCount vectors from `column` on; with kTail the last, partial vector.
template <class R, int kBits, class Reduce, int kCount, bool kTail = false>
void reduce_columns(const Table& table, const Bags& bags, int64_t b, int64_t column, float* y) {
  const int64_t begin = bags.offsets[b], end = bags.offsets[b + 1];
  const int64_t bytes = row_bytes(kBits, table.dim), rest = table.dim - column;
  // The first columns prefetch whole rows.
  const int64_t prefetch_until = column == 0 ? bags.offsets[bags.count] - kAhead : 0;
  typename R::F sums[kCount];
  unroll<kCount>([&](auto v) __attribute__((always_inline)) {
    sums[v] = R::set(begin == end ? 0 : Reduce::kStart);
  });
  for (int64_t i = begin; i < end; ++i) {
    if (i < prefetch_until) prefetch(table, bags.indices[i + kAhead], bytes);
    const Row<R, kBits> row(table, bags.indices[i], bytes);
    const float weight = bags.weights ? bags.weights[i] : 1;
    unroll<kCount>([&](auto v) __attribute__((always_inline)) {
      const int64_t at = column + v * R::kLanes;
      sums[v] = Reduce::step(sums[v], kTail ? row.values(at, rest) : row.values(at), weight);
    });
  }
  const bool divide = bags.mode == Mode::kMean && begin < end;
  float* to = y + b * table.dim + column;
  unroll<kCount>([&](auto v) __attribute__((always_inline)) {
    if (divide) sums[v] = R::div(sums[v], R::set(static_cast<float>(end - begin)));
    kTail ? R::store(to, sums[v], rest) : R::store(to + v * R::kLanes, sums[v]);
  });
}

template <class R, int kBits, class Reduce>
void reduce_bags(const Table& table, const Bags& bags, float* y) {
  for (int64_t b = 0; b < bags.count; ++b) {
    int64_t d = 0;
    for (; d + 8 * R::kLanes <= table.dim; d += 8 * R::kLanes) {
      reduce_columns<R, kBits, Reduce, 8>(table, bags, b, d, y);
    }
    if (d + 4 * R::kLanes <= table.dim) {
      reduce_columns<R, kBits, Reduce, 4>(table, bags, b, d, y);
      d += 4 * R::kLanes;
    }
    for (; d + R::kLanes <= table.dim; d += R::kLanes) {
      reduce_columns<R, kBits, Reduce, 1>(table, bags, b, d, y);
    }
    if (d < table.dim) reduce_columns<R, kBits, Reduce, 1, true>(table, bags, b, d, y);
  }
}

template <class R, int kBits>
void run_bags(const Table& table, const Bags& bags, float* y) {
  if (bags.mode == Mode::kMax) {
    reduce_bags<R, kBits, Max<R>>(table, bags, y);
  } else if (bags.weights) {
    reduce_bags<R, kBits, WeightedSum<R>>(table, bags, y);
  } else {
    reduce_bags<R, kBits, Sum<R>>(table, bags, y);
  }
}

}  // namespace
}  // namespace qnative::embedding
