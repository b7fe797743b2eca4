#pragma once

#include <string.h>

#include "norm.h"
#include "simd/requantize.h"

namespace qnative::norm {
namespace {

// Sums of vectors of bytes, lane by lane, in the order of V::widen.
template <class V>
struct Sums {
  typename V::Ints sum = V::ints(0), squares = V::ints(0);

  // The sum of so many bytes fits in a word, the sum of so many squares in an int32.
  static constexpr int64_t kWordVectors = 256, kVectors = 64 * kWordVectors;

  // Adds load(i) for i in [begin, end), at most kWordVectors.
  template <class Load>
  void add_few(const Load& load, int64_t begin, int64_t end) {
    typename V::Words words = V::words(0);
    const auto add = [&](typename V::Bytes x, typename V::Bytes y) {
      words = V::add_bytes(words, x, y);
      squares = V::add_squares(squares, x, y);
    };
    int64_t i = begin;
    for (; i + 2 <= end; i += 2) add(load(i), load(i + 1));
    if (i < end) add(load(i), V::bytes(0));
    sum = V::add_words(sum, words);
  }

  // Calls flush(sums) for partial sums of load(0), ... load(count - 1).
  template <class Load, class Flush>
  static void run(int64_t count, const Load& load, const Flush& flush) {
    for (int64_t begin = 0; begin < count; begin += kVectors) {
      const int64_t end = count - begin < kVectors ? count : begin + kVectors;
      Sums sums;
      for (int64_t i = begin; i < end; i += kWordVectors) {
        sums.add_few(load, i, end - i < kWordVectors ? end : i + kWordVectors);
      }
      flush(sums);
    }
  }
};

template <class V>
void run_sum(const uint8_t* x, int64_t n, uint8_t flip, int64_t* sum, int64_t* squares) {
  const typename V::Bytes flips = V::bytes(flip);
  const int64_t whole = n / V::kBytes, rest = n % V::kBytes;
  const auto load = [&](int64_t i) {
    const uint8_t* p = x + i * V::kBytes;
    return V::exclusive_or(i < whole ? V::load(p) : V::load(p, rest), flips);
  };
  int64_t total = 0, total_squares = 0;
  Sums<V>::run(whole + (rest != 0), load, [&](const Sums<V>& sums) {
    int32_t lanes[2][V::kBytes];
    V::store(lanes[0], sums.sum);
    V::store(lanes[1], sums.squares);
    for (int i = 0; i < V::kBytes; ++i) {
      total += lanes[0][i];
      total_squares += lanes[1][i];
    }
  });
  // The bytes after the last one in its vector are 0 ^ flip.
  const int64_t padding = rest != 0 ? V::kBytes - rest : 0;
  *sum += total - padding * flip;
  *squares += total_squares - padding * flip * flip;
}

template <class V>
void run_sum_columns(const uint8_t* x, int64_t rows, int64_t stride, int64_t n, uint8_t flip,
                     int64_t* sum, int64_t* squares) {
  const typename V::Bytes flips = V::bytes(flip);
  for (int64_t c = 0; c < n; c += V::kBytes) {
    const int64_t width = n - c < V::kBytes ? n - c : V::kBytes;
    const auto load = [&](int64_t row) {
      const uint8_t* p = x + row * stride + c;
      const typename V::Bytes v = width == V::kBytes ? V::load(p) : V::load(p, width);
      return V::spread(V::exclusive_or(v, flips));
    };
    Sums<V>::run(rows, load, [&](const Sums<V>& sums) {
      int32_t lanes[2][V::kBytes];
      V::store(lanes[0], sums.sum);
      V::store(lanes[1], sums.squares);
      for (int64_t i = 0; i < width; ++i) {
        sum[c + i] += lanes[0][i];
        squares[c + i] += lanes[1][i];
      }
    });
  }
}

// Calls store(i, f(v, load)) for the vectors v = float(x - zero point) at i, in the order of
// memory, and store(i, f(v, load), count) for a last one of `count` elements. load(p) loads the
// same elements of a float array.
template <class V, class F, class Store>
void for_vectors(const Args& args, const uint8_t* x, int64_t n, const F& f, const Store& store) {
  const VectorInput<V> input(args.x_flip, args.x_zero_point);
  int64_t i = 0;
  for (; i + V::kBytes <= n; i += V::kBytes) {
    const auto load = [i](const float* p) { return V::load(p + i); };
    store(i, f(input(V::spread(V::load(x + i))), load));
  }
  if (i < n) {
    const int64_t rest = n - i;
    const auto load = [i, rest](const float* p) { return V::load(p + i, rest); };
    store(i, f(input(V::spread(V::load(x + i, rest))), load), rest);
  }
}

template <class V>
struct StoreBytes {
  uint8_t* y;
  VectorRequantize<V> requantize;

  StoreBytes(const Args& args, uint8_t* y) : y(y), requantize(args.requantize) {}
  template <class... Count>
  void operator()(int64_t i, typename V::Floats r, Count... count) const {
    V::store(y + i, V::collect(requantize(r)), count...);
  }
};

template <class V>
struct StoreFloats {
  float* y;

  StoreFloats(const Args&, float* y) : y(y) {}
  template <class... Count>
  void operator()(int64_t i, typename V::Floats r, Count... count) const {
    V::store(y + i, r, count...);
  }
};

template <class V>
void run_scale(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float scale,
               float shift) {
  const typename V::Floats scales = V::floats(scale), shifts = V::floats(shift);
  const auto f = [&](typename V::Floats v, const auto&) { return V::fma(v, scales, shifts); };
  for_vectors<V>(args, x, n, f, StoreBytes<V>(args, y));
}

template <class V>
void run_scale_each(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, const float* scale,
                    const float* shift) {
  const auto f = [&](typename V::Floats v, const auto& load) {
    return V::fma(v, load(scale), load(shift));
  };
  for_vectors<V>(args, x, n, f, StoreBytes<V>(args, y));
}

template <class V, class Store, class Y>
void run_affine(const Args& args, const uint8_t* x, Y* y, int64_t n, const Affine& affine) {
  const typename V::Floats scale = V::floats(affine.scale), shift = V::floats(affine.shift);
  const auto f = [&](typename V::Floats v, const auto& load) {
    return V::fma(V::fma(v, scale, shift), load(affine.weight), load(affine.bias));
  };
  for_vectors<V>(args, x, n, f, Store(args, y));
}

template <class V>
void run_prelu(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
               const float* negative) {
  const typename V::Floats zero = V::floats(0), positives = V::floats(positive);
  // One of the two products is 0.
  const auto f = [&](typename V::Floats v, const auto& load) {
    return V::fma(V::max(v, zero), positives, V::mul(V::min(v, zero), load(negative)));
  };
  for_vectors<V>(args, x, n, f, StoreBytes<V>(args, y));
}

template <class V>
uint8_t run_largest(const uint8_t* x, int64_t n, uint8_t flip) {
  const typename V::Bytes flips = V::bytes(flip);
  const auto load = [&](const uint8_t* p) { return V::exclusive_or(V::load(p), flips); };
  uint8_t lanes[V::kBytes];
  if (n < V::kBytes) {
    memset(lanes, x[0], V::kBytes);
    memcpy(lanes, x, n);
    V::store(lanes, load(lanes));
  } else {
    // The last vector overlaps the one before.
    typename V::Bytes most = load(x + n - V::kBytes);
    for (int64_t i = 0; i + V::kBytes < n; i += V::kBytes) {
      most = V::max_unsigned(most, load(x + i));
    }
    V::store(lanes, most);
  }
  uint8_t most = 0;
  for (uint8_t v : lanes) most = v > most ? v : most;
  return most;
}

}  // namespace
}  // namespace qnative::norm
