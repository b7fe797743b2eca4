#pragma once

#include "pool/pool.h"
#include "simd/requantize.h"

namespace qnative::pool {

MaxFn max_scalar;
MeanFn mean_scalar;

namespace {

// block.run<n>(c) for blocks of n channels that begin at c: a cache line or, where there are fewer
// channels, a half, a quarter, an eighth of one. The last block overlaps the one before it.
template <int n, class Block>
void run_blocks(int64_t channels, const Block& block) {
  for (int64_t c = 0; c + n <= channels; c += n) block.template run<n>(c);
  if (channels % n != 0) block.template run<n>(channels - n);
}

template <class Block>
void run_blocks(int64_t channels, const Block& block) {
  if (channels >= 64) return run_blocks<64>(channels, block);
  if (channels >= 32) return run_blocks<32>(channels, block);
  if (channels >= 16) return run_blocks<16>(channels, block);
  run_blocks<8>(channels, block);
}

template <class V>
struct MaxBlock {
  const Window& window;
  typename V::Bytes flip;
  uint8_t* y;

  template <int n>
  void run(int64_t c) const {
    const Window w = window;
    const uint8_t* x = w.x + c;
    uint8_t* to = y + c;
    for (int64_t o = 0; o < w.outputs; ++o, x += w.output_stride, to += w.channels) {
      store_max<n>(w, x, to);
    }
  }

  template <int n>
  void store_max(const Window& w, const uint8_t* x, uint8_t* to) const {
    constexpr int kPart = n < V::kBytes ? n : V::kBytes, kVectors = n / kPart;
    typename V::Bytes most[kVectors];
    for (int v = 0; v < kVectors; ++v) most[v] = V::bytes(0);
    for (int64_t i = 0; i < w.rows; ++i, x += w.row_stride) {
      const uint8_t* p = x;
      for (int64_t j = 0; j < w.columns; ++j, p += w.pixel_stride) {
        for (int v = 0; v < kVectors; ++v) {
          const typename V::Bytes pixel = V::template load_first<kPart>(p + v * kPart);
          most[v] = V::max_unsigned(most[v], V::exclusive_or(pixel, flip));
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      V::template store_first<kPart>(to + v * kPart, V::exclusive_or(most[v], flip));
    }
  }
};

template <class V>
void run_max(const Window& window, uint8_t flip, uint8_t* y) {
  if (window.channels < 8) return max_scalar(window, flip, y);
  run_blocks(window.channels, MaxBlock<V>{window, V::bytes(flip), y});
}

// Sums of bytes xored with flip, of `vectors` times n channels: a vector's, or its first n. In the
// order of V::widen.
template <class V, int n, int vectors>
struct Sum {
  typename V::Bytes flip;
  typename V::Ints total[vectors];

  // So many pixels fit into a word.
  static constexpr int64_t kPixels = 65535 / 255;

  typename V::Bytes load(const uint8_t* p) const {
    return V::exclusive_or(V::template load_first<n>(p), flip);
  }

  void add_pixels(typename V::Words (&sum)[vectors], const uint8_t* p, int64_t stride,
                  int64_t count) const {
    for (; count >= 2; count -= 2, p += 2 * stride) {
      for (int v = 0; v < vectors; ++v) {
        sum[v] = V::add_bytes(sum[v], load(p + v * n), load(p + stride + v * n));
      }
    }
    if (count == 0) return;
    for (int v = 0; v < vectors; ++v) {
      sum[v] = V::add_bytes(sum[v], load(p + v * n), V::bytes(0));
    }
  }

  void add_small(const Window& w, const uint8_t* x) {
    typename V::Words sum[vectors];
    for (int v = 0; v < vectors; ++v) sum[v] = V::words(0);
    for (int64_t i = 0; i < w.rows; ++i, x += w.row_stride) {
      add_pixels(sum, x, w.pixel_stride, w.columns);
    }
    for (int v = 0; v < vectors; ++v) total[v] = V::add_words(total[v], sum[v]);
  }

  void add_any(Window w, const uint8_t* x) {
    const int64_t rows = w.rows, columns = w.columns;
    w.rows = 1;
    for (int64_t i = 0; i < rows; ++i, x += w.row_stride) {
      for (int64_t j = 0; j < columns; j += kPixels) {
        w.columns = columns - j < kPixels ? columns - j : kPixels;
        add_small(w, x + j * w.pixel_stride);
      }
    }
  }
};

template <class V>
struct MeanBlock {
  const Window& window;
  typename V::Bytes flip;
  typename V::Ints start;  // minus the zero points of all pixels
  typename V::Floats multiplier;
  VectorRequantize<V> requantize;
  uint8_t* y;

  template <int n>
  void run(int64_t c) const {
    constexpr int kPart = n < V::kBytes ? n : V::kBytes, kVectors = n / kPart;
    const Window w = window;
    const bool small = w.rows * w.columns <= Sum<V, kPart, kVectors>::kPixels;
    const uint8_t* x = w.x + c;
    uint8_t* to = y + c;
    for (int64_t o = 0; o < w.outputs; ++o, x += w.output_stride, to += w.channels) {
      Sum<V, kPart, kVectors> sum;
      sum.flip = flip;
      for (int v = 0; v < kVectors; ++v) sum.total[v] = start;
      if (small) {
        sum.add_small(w, x);
      } else {
        sum.add_any(w, x);
      }
      for (int v = 0; v < kVectors; ++v) {
        const typename V::Floats r = V::mul(V::to_floats(sum.total[v]), multiplier);
        V::template store_first<kPart>(to + v * kPart, requantize(r));
      }
    }
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
  Sum<V, V::kBytes, 1> sum{V::bytes(flip), {V::ints(0)}};
  sum.add_any(wide, x);
  int32_t sums[V::kBytes];
  V::store(sums, sum.total[0]);

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
  if (!narrow) {
    return run_blocks(window.channels,
                      MeanBlock<V>{window, V::bytes(x_flip), V::ints(start), V::floats(multiplier),
                                   VectorRequantize<V>(q), y});
  }
  for (int64_t o = 0; o < window.outputs; ++o) {
    int32_t totals[V::kBytes];
    sum_narrow<V>(window, window.x + o * window.output_stride, x_flip, totals);
    for (int64_t c = 0; c < window.channels; ++c) {
      *y++ = requantize(static_cast<float>(totals[c] + start) * multiplier, q);
    }
  }
}

}  // namespace
}  // namespace qnative::pool
