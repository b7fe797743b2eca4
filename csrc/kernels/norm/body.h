#pragma once

#include <string.h>

#include "norm.h"
#include "simd/elements.h"

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

template <class V>
void run_sum_words(const int16_t* x, int64_t n, int64_t* sum, int64_t* squares) {
  constexpr int64_t kCount = V::kBytes / 2, kVectors = 1 << 14;
  int64_t i = 0;
  while (i + kCount <= n) {
    typename V::WordSums sums = V::word_sums();
    const int64_t limit = i + kVectors * kCount;
    for (; i + kCount <= n && i < limit; i += kCount) sums = V::add(sums, x + i);
    V::flush(sums, sum, squares);
  }
  if (i == n) return;
  int16_t rest[kCount] = {};
  memcpy(rest, x + i, (n - i) * sizeof(int16_t));
  V::flush(V::add(V::word_sums(), rest), sum, squares);
}

// Stores f(v, load) for the vectors v = float(x - zero point). load(p) loads the same elements of a
// float array.
template <class V, class Load, class F, class Store>
void for_vectors(const Args& args, const void* x, int64_t n, const F& f, const Store& store) {
  const Load input(x, args.x_flip, args.x_zero_point);
  for_each_vector<V>(n, [&](int64_t i, auto... count) {
    const auto load = [i, count...](const float* p) { return V::load(p + i, count...); };
    store(i, f(input(i, count...), load), count...);
  });
}

// The same for x and y of the types that `args` says.
template <class V, class F>
void requantize_vectors(const Args& args, const void* x, void* y, int64_t n, const F& f) {
  const StoreBytes<V> bytes(y, args.requantize);
  const StoreWords<V> words(y, args.requantize);
  if (args.x_is_word && args.y_is_word) {
    for_vectors<V, LoadWords<V>>(args, x, n, f, words);
  } else if (args.x_is_word) {
    for_vectors<V, LoadWords<V>>(args, x, n, f, bytes);
  } else if (args.y_is_word) {
    for_vectors<V, LoadBytes<V>>(args, x, n, f, words);
  } else {
    for_vectors<V, LoadBytes<V>>(args, x, n, f, bytes);
  }
}

template <class V>
void run_scale(const Args& args, const void* x, void* y, int64_t n, float scale, float shift) {
  const typename V::Floats scales = V::floats(scale), shifts = V::floats(shift);
  const auto f = [&](typename V::Floats v, const auto&) { return V::fma(v, scales, shifts); };
  requantize_vectors<V>(args, x, y, n, f);
}

template <class V>
void run_scale_each(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, const float* scale,
                    const float* shift) {
  const auto f = [&](typename V::Floats v, const auto& load) {
    return V::fma(v, load(scale), load(shift));
  };
  for_vectors<V, LoadBytes<V>>(args, x, n, f, StoreBytes<V>(y, args.requantize));
}

// fma(fma(v, scale, shift), weight[i], bias[i])
template <class V>
struct AffineOf {
  const Affine& affine;
  typename V::Floats scale, shift;

  explicit AffineOf(const Affine& affine)
      : affine(affine), scale(V::floats(affine.scale)), shift(V::floats(affine.shift)) {}
  template <class Load>
  typename V::Floats operator()(typename V::Floats v, const Load& load) const {
    return V::fma(V::fma(v, scale, shift), load(affine.weight), load(affine.bias));
  }
};

template <class V>
void run_affine(const Args& args, const void* x, void* y, int64_t n, const Affine& affine) {
  requantize_vectors<V>(args, x, y, n, AffineOf<V>(affine));
}

template <class V>
void run_affine_float(const Args& args, const void* x, float* y, int64_t n, const Affine& affine) {
  const StoreFloats<V> store(y, args.requantize);
  const AffineOf<V> f(affine);
  if (args.x_is_word) {
    for_vectors<V, LoadWords<V>>(args, x, n, f, store);
  } else {
    for_vectors<V, LoadBytes<V>>(args, x, n, f, store);
  }
}

template <class V>
void run_prelu(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
               const float* negative) {
  const typename V::Floats zero = V::floats(0), positives = V::floats(positive);
  // One of the two products is 0.
  const auto f = [&](typename V::Floats v, const auto& load) {
    return V::fma(V::max(v, zero), positives, V::mul(V::min(v, zero), load(negative)));
  };
  for_vectors<V, LoadBytes<V>>(args, x, n, f, StoreBytes<V>(y, args.requantize));
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
