#pragma once

#include <stdint.h>
#include <string.h>

#include "embedding.h"
#include "simd/unroll.h"

// V is one register of floats:
//   bytes(p), nibbles(p)   V::kSize of them as floats, in the order of memory
//   bytes(p, n)            the first n; the others are anything. It may read 8 bytes more than n:
//                          scale and bias follow every row. nibbles(p) reads at most 8 bytes.
namespace qnative::embedding {
namespace {

// How many entries ahead memory is asked for: rows lie anywhere, and no hardware guesses where.
constexpr int64_t kAhead = 16;

// Asks for the memory of a row: a number of lines that is the same for all rows of a table, so that
// no branch is mispredicted. Rows of a multiple of 8 bytes begin at one.
[[gnu::always_inline]] inline void prefetch(const Table& table, int64_t row, int64_t bytes) {
  constexpr int64_t kLine = 64;
  const int64_t latest = kLine - (bytes % 8 == 0 ? 8 : 1);
  const int64_t lines = (latest + bytes + kLine - 1) / kLine;
  const uint8_t* data = table.data + row * bytes;
  for (int64_t i = 0; i < lines - 1; ++i) __builtin_prefetch(data + i * kLine);
  __builtin_prefetch(data + bytes - 1);
}

// Values of one row.
template <class V, int kBits>
struct Row {
  const uint8_t* data;
  typename V::Floats scale, bias;

  [[gnu::always_inline]] Row(const Table& table, int64_t row, int64_t bytes)
      : data(table.data + row * bytes) {
    float params[2];
    memcpy(params, data + bytes - kParamBytes, sizeof(params));
    scale = V::all(params[0]);
    bias = V::all(params[1]);
  }

  // Columns [column, column + V::kSize).
  [[gnu::always_inline]] typename V::Floats values(int64_t column) const {
    return V::fma(kBits == 8 ? V::bytes(data + column) : V::nibbles(data + column / 2), scale,
                  bias);
  }
  // The first n of them.
  [[gnu::always_inline]] typename V::Floats values(int64_t column, int64_t n) const {
    return V::fma(kBits == 8 ? V::bytes(data + column, n) : V::nibbles(data + column / 2), scale,
                  bias);
  }
};

template <class V, int kBits>
void run_rows(const Table& table, const int64_t* indices, int64_t n, float* y) {
  const int64_t bytes = row_bytes(kBits, table.dim);
  for (int64_t i = 0; i < n; ++i, y += table.dim) {
    if (i + kAhead < n) prefetch(table, indices[i + kAhead], bytes);
    const Row<V, kBits> row(table, indices[i], bytes);
    int64_t d = 0;
    for (; d + V::kSize <= table.dim; d += V::kSize) V::store(y + d, row.values(d));
    const int64_t rest = table.dim - d;
    if (rest > 0) V::store(y + d, row.values(d, rest), rest);
  }
}

template <class V>
struct Sum {
  using Floats = typename V::Floats;
  static constexpr float kStart = 0;
  [[gnu::always_inline]] static Floats step(Floats a, Floats v, float) { return V::add(a, v); }
};

template <class V>
struct WeightedSum {
  using Floats = typename V::Floats;
  static constexpr float kStart = 0;
  [[gnu::always_inline]] static Floats step(Floats a, Floats v, float weight) {
    return V::fma(v, V::all(weight), a);
  }
};

template <class V>
struct Max {
  using Floats = typename V::Floats;
  static constexpr float kStart = -__builtin_inff();
  [[gnu::always_inline]] static Floats step(Floats a, Floats v, float) { return V::max(v, a); }
};

// Columns of one bag: kCount registers from `column` on, or with kTail the last ones of the table.
template <class V, int kBits, class Reduce, int kCount, bool kTail = false>
void reduce_columns(const Table& table, const Bags& bags, int64_t b, int64_t column, float* y) {
  const int64_t begin = bags.offsets[b], end = bags.offsets[b + 1];
  const int64_t bytes = row_bytes(kBits, table.dim), rest = table.dim - column;
  // The first columns ask for whole rows.
  const int64_t ask_until = column == 0 ? bags.offsets[bags.count] - kAhead : 0;
  typename V::Floats sums[kCount];
  unroll<kCount>([&](auto v) __attribute__((always_inline)) {
    sums[v] = V::all(begin == end ? 0 : Reduce::kStart);
  });
  for (int64_t i = begin; i < end; ++i) {
    if (i < ask_until) prefetch(table, bags.indices[i + kAhead], bytes);
    const Row<V, kBits> row(table, bags.indices[i], bytes);
    const float weight = bags.weights ? bags.weights[i] : 1;
    unroll<kCount>([&](auto v) __attribute__((always_inline)) {
      const int64_t at = column + v * V::kSize;
      sums[v] = Reduce::step(sums[v], kTail ? row.values(at, rest) : row.values(at), weight);
    });
  }
  const bool divide = bags.mode == Mode::kMean && begin < end;
  float* to = y + b * table.dim + column;
  unroll<kCount>([&](auto v) __attribute__((always_inline)) {
    if (divide) sums[v] = V::div(sums[v], V::all(static_cast<float>(end - begin)));
    kTail ? V::store(to, sums[v], rest) : V::store(to + v * V::kSize, sums[v]);
  });
}

template <class V, int kBits, class Reduce>
void reduce_bags(const Table& table, const Bags& bags, float* y) {
  for (int64_t b = 0; b < bags.count; ++b) {
    int64_t d = 0;
    for (; d + 8 * V::kSize <= table.dim; d += 8 * V::kSize) {
      reduce_columns<V, kBits, Reduce, 8>(table, bags, b, d, y);
    }
    if (d + 4 * V::kSize <= table.dim) {
      reduce_columns<V, kBits, Reduce, 4>(table, bags, b, d, y);
      d += 4 * V::kSize;
    }
    for (; d + V::kSize <= table.dim; d += V::kSize) {
      reduce_columns<V, kBits, Reduce, 1>(table, bags, b, d, y);
    }
    if (d < table.dim) reduce_columns<V, kBits, Reduce, 1, true>(table, bags, b, d, y);
  }
}

template <class V, int kBits>
void run_bags(const Table& table, const Bags& bags, float* y) {
  if (bags.mode == Mode::kMax) {
    reduce_bags<V, kBits, Max<V>>(table, bags, y);
  } else if (bags.weights) {
    reduce_bags<V, kBits, WeightedSum<V>>(table, bags, y);
  } else {
    reduce_bags<V, kBits, Sum<V>>(table, bags, y);
  }
}

}  // namespace
}  // namespace qnative::embedding
