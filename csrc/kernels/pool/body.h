#pragma once

#include "pool/pool.h"
#include "simd/requantize.h"

namespace qnative::pool {

MaxFn max_scalar;
MeanFn mean_scalar;

namespace {

// block.run<n>(c) for blocks of n channels that begin at c: n is a vector or, where there are fewer
// channels, a half, a quarter, an eighth of one. The last block overlaps the one before it.
template <int n, class Block>
void run_blocks(int64_t channels, const Block& block) {
  for (int64_t c = 0; c + n <= channels; c += n) block.template run<n>(c);
  if (channels % n != 0) block.template run<n>(channels - n);
}

template <class V, class Block>
void run_blocks(int64_t channels, const Block& block) {
  if constexpr (V::kBytes == 64) {
    if (channels >= 64) return run_blocks<64>(channels, block);
  }
  if (channels >= 32) return run_blocks<32>(channels, block);
  if (channels >= 16) return run_blocks<16>(channels, block);
  run_blocks<8>(channels, block);
}

template <class V>
struct MaxBlock {
  const Window& window;
  const uint8_t* x;
  typename V::Bytes flip;
  uint8_t* y;

  template <int n>
  void run(int64_t c) const {
    typename V::Bytes most = V::bytes(0);
    for (int64_t i = 0; i < window.rows; ++i) {
      const uint8_t* p = x + i * window.row_stride + c;
      for (int64_t j = 0; j < window.columns; ++j, p += window.pixel_stride) {
        most = V::max_unsigned(most, V::exclusive_or(V::template load_first<n>(p), flip));
      }
    }
    V::template store_first<n>(y + c, V::exclusive_or(most, flip));
  }
};

template <class V>
void run_max(const Window& window, uint8_t flip, uint8_t* y) {
  if (window.channels < 8) return max_scalar(window, flip, y);
  for (int64_t o = 0; o < window.outputs; ++o) {
    run_blocks<V>(window.channels, MaxBlock<V>{window, window.x + o * window.output_stride,
                                               V::bytes(flip), y + o * window.channels});
  }
}

// The sums over a window of kBytes channels, as bytes xored with flip, in the order of V::widen.
template <class V, int n>
typename V::Ints sum(const Window& window, const uint8_t* x, typename V::Bytes flip) {
  // Two bytes a step: so many steps fit into a word.
  constexpr int kSteps = 65535 / (2 * 255);
  typename V::Ints total = V::ints(0);
  typename V::Words partial = V::words(0);
  int steps = kSteps;
  const auto step = [&](typename V::Bytes a, typename V::Bytes b) {
    partial = V::add_bytes(partial, a, b);
    if (--steps == 0) {
      total = V::add_words(total, partial);
      partial = V::words(0);
      steps = kSteps;
    }
  };
  for (int64_t i = 0; i < window.rows; ++i) {
    const uint8_t* p = x + i * window.row_stride;
    const auto next = [&] {
      const typename V::Bytes v = V::exclusive_or(V::template load_first<n>(p), flip);
      p += window.pixel_stride;
      return v;
    };
    for (int64_t j = 1; j < window.columns; j += 2) {
      const typename V::Bytes a = next(), b = next();
      step(a, b);
    }
    if (window.columns % 2 != 0) step(next(), V::bytes(0));
  }
  return V::add_words(total, partial);
}

template <class V>
struct MeanBlock {
  const Window& window;
  const uint8_t* x;
  typename V::Bytes flip;
  typename V::Ints start;  // - the zero points
  typename V::Floats multiplier;
  const VectorRequantize<V>& requantize;
  uint8_t* y;

  template <int n>
  void run(int64_t c) const {
    const typename V::Ints total = V::add(start, sum<V, n>(window, x + c, flip));
    V::template store_first<n>(y + c, requantize(V::mul(V::to_floats(total), multiplier)));
  }
};

// Whether a row has many pixels of few channels without gaps. Then a vector is several pixels.
template <class V>
bool is_narrow(const Window& window) {
  return window.channels < V::kBytes && window.pixel_stride == window.channels &&
         window.columns * window.channels >= 4 * V::kBytes;
}

// totals[c] = sum over the window of x[c] ^ flip, for a narrow window.
template <class V>
void sum_narrow(const Window& window, const uint8_t* x, uint8_t flip, int32_t* totals) {
  const int64_t pixels = V::kBytes / window.channels, step = pixels * window.channels;
  const int64_t row = window.columns * window.channels;
  Window wide = window;
  wide.pixel_stride = step;
  wide.columns = (row - V::kBytes) / step + 1;
  int32_t sums[V::kBytes];
  V::store(sums, sum<V, V::kBytes>(wide, x, V::bytes(flip)));

  // Which byte of a vector each of the sums is of.
  uint8_t count[V::kBytes];
  for (int i = 0; i < V::kBytes; ++i) count[i] = static_cast<uint8_t>(i);
  float byte[V::kBytes];
  V::store(byte, V::sub(V::widen(V::load(count)), V::floats(V::kBias)));

  for (int64_t c = 0; c < window.channels; ++c) totals[c] = 0;
  for (int i = 0; i < V::kBytes; ++i) {
    const int c = static_cast<int>(byte[i]);
    if (c < step) totals[c % window.channels] += sums[i];
  }
  for (int64_t i = 0; i < window.rows; ++i) {
    const uint8_t* p = x + i * window.row_stride;
    for (int64_t j = wide.columns * step; j < row; ++j) {
      totals[j % window.channels] += p[j] ^ flip;
    }
  }
}

template <class V>
void run_mean(Window window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
              const Requantize& q, uint8_t* y) {
  const int32_t start = -x_zero_point * static_cast<int32_t>(window.rows * window.columns);
  if (window.row_stride == window.columns * window.pixel_stride) {
    window.columns *= window.rows;
    window.rows = 1;
  }
  const bool narrow = is_narrow<V>(window);
  if (window.channels < 8 && !narrow) {
    return mean_scalar(window, x_flip, x_zero_point, multiplier, q, y);
  }
  const VectorRequantize<V> vector_requantize(q);
  for (int64_t o = 0; o < window.outputs; ++o, y += window.channels) {
    const uint8_t* x = window.x + o * window.output_stride;
    if (!narrow) {
      run_blocks<V>(window.channels, MeanBlock<V>{window, x, V::bytes(x_flip), V::ints(start),
                                                  V::floats(multiplier), vector_requantize, y});
      continue;
    }
    int32_t totals[V::kBytes];
    sum_narrow<V>(window, x, x_flip, totals);
    for (int64_t c = 0; c < window.channels; ++c) {
      y[c] = requantize(static_cast<float>(totals[c] + start) * multiplier, q);
    }
  }
}

}  // namespace
}  // namespace qnative::pool
