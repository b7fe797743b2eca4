#pragma once

#include <stdint.h>
#include <string.h>

#include "embedding.h"
#include "simd/unroll.h"

namespace qnative::embedding {
namespace {

// How many entries ahead memory is asked for: rows lie anywhere, and no hardware guesses where.
constexpr int64_t kAhead = 16;

// Values of one row.
template <class V, int kBits>
struct Row {
  const uint8_t* data;
  float scale, bias;

  [[gnu::always_inline]] Row(const Table& table, int64_t row, int64_t bytes)
      : data(table.data + row * bytes) {
    memcpy(&scale, data + bytes - kParamBytes, sizeof(float));
    memcpy(&bias, data + bytes - sizeof(float), sizeof(float));
  }

  // Asks for the memory of a row.
  [[gnu::always_inline]] static void prefetch(const Table& table, int64_t row, int64_t bytes) {
    constexpr uintptr_t kLine = 64;
    const auto begin = reinterpret_cast<uintptr_t>(table.data + row * bytes);
    for (uintptr_t at = begin & ~(kLine - 1); at < begin + bytes; at += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(at));
    }
  }

  // Columns [column, column + V::kBytes), or the first n of them.
  [[gnu::always_inline]] typename V::Floats values(int64_t column) const {
    if constexpr (kBits == 8) return real(V::load(data + column));
    return real(V::load_nibbles(data + column / 2));
  }
  [[gnu::always_inline]] typename V::Floats values(int64_t column, int64_t n) const {
    if constexpr (kBits == 8) return real(V::load(data + column, n));
    return real(V::load_nibbles(data + column / 2, n));
  }

 private:
  [[gnu::always_inline]] typename V::Floats real(typename V::Bytes q) const {
    const typename V::Floats x = V::sub(V::widen(V::spread(q)), V::floats(V::kBias));
    return V::fma(x, V::floats(scale), V::floats(bias));
  }
};

template <class V, int kBits>
void run_rows(const Table& table, const int64_t* indices, int64_t n, float* y) {
  const int64_t bytes = row_bytes(kBits, table.dim);
  for (int64_t i = 0; i < n; ++i, y += table.dim) {
    if (i + kAhead < n) Row<V, kBits>::prefetch(table, indices[i + kAhead], bytes);
    const Row<V, kBits> row(table, indices[i], bytes);
    int64_t d = 0;
    for (; d + V::kBytes <= table.dim; d += V::kBytes) V::store(y + d, row.values(d));
    if (d < table.dim) V::store(y + d, row.values(d, table.dim - d), table.dim - d);
  }
}

struct Sum {
  static constexpr float kStart = 0;
  template <class V>
  [[gnu::always_inline]] static typename V::Floats step(typename V::Floats a, typename V::Floats v,
                                                        float) {
    return V::add(a, v);
  }
};

struct WeightedSum {
  static constexpr float kStart = 0;
  template <class V>
  [[gnu::always_inline]] static typename V::Floats step(typename V::Floats a, typename V::Floats v,
                                                        float weight) {
    return V::fma(v, V::floats(weight), a);
  }
};

struct Max {
  static constexpr float kStart = -__builtin_inff();
  template <class V>
  [[gnu::always_inline]] static typename V::Floats step(typename V::Floats a, typename V::Floats v,
                                                        float) {
    return V::max(v, a);
  }
};

// Columns of one bag: kVectors vectors from `column` on, or with kTail the last ones of the table.
template <class V, int kBits, class Reduce, int kVectors, bool kTail = false>
void reduce_columns(const Table& table, const Bags& bags, int64_t b, int64_t column, float* y) {
  const int64_t begin = bags.offsets[b], end = bags.offsets[b + 1];
  const int64_t bytes = row_bytes(kBits, table.dim);
  // The first columns ask for whole rows.
  const int64_t last = column == 0 ? bags.offsets[bags.count] - kAhead : 0;
  const int64_t columns = table.dim - column;
  typename V::Floats sums[kVectors];
  unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
    sums[v] = V::floats(begin == end ? 0 : Reduce::kStart);
  });
  for (int64_t i = begin; i < end; ++i) {
    if (i < last) Row<V, kBits>::prefetch(table, bags.indices[i + kAhead], bytes);
    const Row<V, kBits> row(table, bags.indices[i], bytes);
    const float weight = bags.weights ? bags.weights[i] : 1;
    unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
      const int64_t at = column + v * V::kBytes;
      sums[v] = Reduce::template step<V>(sums[v], kTail ? row.values(at, columns) : row.values(at),
                                         weight);
    });
  }
  const bool divide = bags.mode == Mode::kMean && begin < end;
  unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
    if (divide) sums[v] = V::div(sums[v], V::floats(static_cast<float>(end - begin)));
    float* to = y + b * table.dim + column + v * V::kBytes;
    kTail ? V::store(to, sums[v], columns) : V::store(to, sums[v]);
  });
}

template <class V, int kBits, class Reduce>
void reduce_bags(const Table& table, const Bags& bags, float* y) {
  for (int64_t b = 0; b < bags.count; ++b) {
    int64_t d = 0;
    for (; d + 2 * V::kBytes <= table.dim; d += 2 * V::kBytes) {
      reduce_columns<V, kBits, Reduce, 2>(table, bags, b, d, y);
    }
    for (; d + V::kBytes <= table.dim; d += V::kBytes) {
      reduce_columns<V, kBits, Reduce, 1>(table, bags, b, d, y);
    }
    if (d < table.dim) reduce_columns<V, kBits, Reduce, 1, true>(table, bags, b, d, y);
  }
}

template <class V, int kBits>
void run_bags(const Table& table, const Bags& bags, float* y) {
  if (bags.mode == Mode::kMax) {
    reduce_bags<V, kBits, Max>(table, bags, y);
  } else if (bags.weights) {
    reduce_bags<V, kBits, WeightedSum>(table, bags, y);
  } else {
    reduce_bags<V, kBits, Sum>(table, bags, y);
  }
}

}  // namespace
}  // namespace qnative::embedding
