#pragma once

#include "pool.h"
#include "simd/requantize.h"

namespace qnative::pool {

MaxFn max_scalar;
MeanFn mean_scalar;

namespace {

// The window, with rows = columns = kSide if kSide is not 0: unrolled loops over 3x3 and 2x2 pixels
// take half the time.
template <int kSide>
Window sized(Window window) {
  if (kSide != 0) window.rows = window.columns = kSide;
  return window;
}

// Calls block.run<kSide, n>(c) for blocks of n channels that begin at c: a cache line or, if there
// are fewer channels, a half, a quarter or an eighth of one. The last block overlaps the one
// before.
template <int kSide, int n, class Block>
void run_blocks(const Window& window, const Block& block) {
  for (int64_t c = 0; c + n <= window.channels; c += n) block.template run<kSide, n>(c);
  if (window.channels % n != 0) block.template run<kSide, n>(window.channels - n);
}

template <int kSide, class Block>
void run_blocks(const Window& window, const Block& block) {
  if (window.channels >= 64) return run_blocks<kSide, 64>(window, block);
  if (window.channels >= 32) return run_blocks<kSide, 32>(window, block);
  if (window.channels >= 16) return run_blocks<kSide, 16>(window, block);
  run_blocks<kSide, 8>(window, block);
}

template <class Block>
void run_blocks(const Window& window, const Block& block) {
  const int64_t side = window.rows == window.columns ? window.rows : 0;
  if (side == 3) return run_blocks<3>(window, block);
  if (side == 2) return run_blocks<2>(window, block);
  run_blocks<0>(window, block);
}

// The maxima of n channels: one or two vectors, or part of one.
template <class V, bool is_signed, int n>
struct Largest {
  static constexpr int kPart = n < V::kBytes ? n : V::kBytes, kVectors = n / kPart;
  typename V::Bytes v[kVectors];

  static Largest load(const uint8_t* p) {
    Largest x;
    for (int i = 0; i < kVectors; ++i) x.v[i] = V::template load_first<kPart>(p + i * kPart);
    return x;
  }

  void store(uint8_t* p) const {
    for (int i = 0; i < kVectors; ++i) V::template store_first<kPart>(p + i * kPart, v[i]);
  }

  void include(const Largest& x) {
    for (int i = 0; i < kVectors; ++i) {
      v[i] = is_signed ? V::max_signed(v[i], x.v[i]) : V::max_unsigned(v[i], x.v[i]);
    }
  }

  // Over `count` >= 1 pixels, `stride` bytes apart.
  static Largest of(const uint8_t* p, int64_t stride, int64_t count) {
    Largest most = load(p);
    for (int64_t i = 1; i < count; ++i) most.include(load(p + i * stride));
    return most;
  }

  // Over `groups` >= 1 groups of such pixels, `group_stride` bytes apart.
  static Largest of(const uint8_t* p, int64_t stride, int64_t count, int64_t group_stride,
                    int64_t groups) {
    Largest most = of(p, stride, count);
    for (int64_t i = 1; i < groups; ++i) most.include(of(p + i * group_stride, stride, count));
    return most;
  }
};

template <class V, bool is_signed>
struct MaxBlock {
  const Window& window;
  uint8_t* y;

  template <int kSide, int n>
  void run(int64_t c) const {
    // Windows that overlap by more than half share the maxima of columns.
    const Window& w = window;
    const int64_t step = w.pixel_stride > 0 ? w.output_stride / w.pixel_stride : 0;
    const bool overlap = step > 0 && step * w.pixel_stride == w.output_stride && w.outputs > 1 &&
                         w.columns <= kColumns / 2 &&
                         w.planes * w.rows * (w.columns - step) > w.columns;
    overlap ? run_columns<kSide, n>(w.x + c, step, y + c) : run_windows<kSide, n>(w.x + c, y + c);
  }

  template <int kSide, int n>
  void run_windows(const uint8_t* x, uint8_t* to) const {
    using Most = Largest<V, is_signed, n>;
    const Window w = sized<kSide>(window);
    for (int64_t o = 0; o < w.outputs; ++o, x += w.output_stride, to += w.channels) {
      Most most = Most::of(x, w.pixel_stride, w.columns, w.row_stride, w.rows);
      for (int64_t p = 1; p < w.planes; ++p) {
        most.include(
            Most::of(x + p * w.plane_stride, w.pixel_stride, w.columns, w.row_stride, w.rows));
      }
      most.store(to);
    }
  }

  template <int kSide, int n>
  void run_columns(const uint8_t* x, int64_t step, uint8_t* to) const {
    using Most = Largest<V, is_signed, n>;
    uint8_t columns[kColumns * n];
    const Window w = sized<kSide>(window);
    const int64_t most_outputs = (kColumns - w.columns) / step + 1;
    for (int64_t begin = 0; begin < w.outputs; begin += most_outputs) {
      const int64_t left = w.outputs - begin;
      const int64_t outputs = left < most_outputs ? left : most_outputs;
      const int64_t count = (outputs - 1) * step + w.columns;
      for (int64_t j = 0; j < count; ++j, x += w.pixel_stride) {
        Most::of(x, w.row_stride, w.rows, w.plane_stride, w.planes).store(columns + j * n);
      }
      x -= (w.columns - step) * w.pixel_stride;
      for (int64_t o = 0; o < outputs; ++o, to += w.channels) {
        Most::of(columns + o * step * n, n, w.columns).store(to);
      }
    }
  }

  static constexpr int64_t kColumns = 64;
};

template <class V>
void run_max(const Window& window, uint8_t flip, uint8_t* y) {
  if (window.channels < 8) return max_scalar(window, flip, y);
  flip != 0 ? run_blocks(window, MaxBlock<V, true>{window, y})
            : run_blocks(window, MaxBlock<V, false>{window, y});
}

// Sums of bytes xored with flip, of `vectors` times n channels, where n is a whole vector or its
// first n bytes. In the order of V::widen.
template <class V, int n, int vectors>
struct Sum {
  typename V::Bytes flip;
  typename V::Ints total[vectors];

  // The sum of so many pixels fits in a word.
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
    for (int v = 0; v < vectors; ++v) sum[v] = V::add_bytes(sum[v], load(p + v * n), V::bytes(0));
  }

  void add_small(const Window& w, const uint8_t* x) {
    typename V::Words sum[vectors];
    for (int v = 0; v < vectors; ++v) sum[v] = V::words(0);
    for (int64_t p = 0; p < w.planes; ++p, x += w.plane_stride) {
      for (int64_t i = 0; i < w.rows; ++i) {
        add_pixels(sum, x + i * w.row_stride, w.pixel_stride, w.columns);
      }
    }
    for (int v = 0; v < vectors; ++v) total[v] = V::add_words(total[v], sum[v]);
  }

  void add_any(Window w, const uint8_t* x) {
    const int64_t rows = w.planes * w.rows, columns = w.columns, rows_of_plane = w.rows;
    w.planes = w.rows = 1;
    for (int64_t i = 0; i < rows; ++i) {
      const uint8_t* row =
          x + i / rows_of_plane * w.plane_stride + i % rows_of_plane * w.row_stride;
      for (int64_t j = 0; j < columns; j += kPixels) {
        w.columns = columns - j < kPixels ? columns - j : kPixels;
        add_small(w, row + j * w.pixel_stride);
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

  template <int kSide, int n>
  void run(int64_t c) const {
    constexpr int kPart = n < V::kBytes ? n : V::kBytes, kVectors = n / kPart;
    const Window w = sized<kSide>(window);
    const bool small = w.planes * w.rows * w.columns <= Sum<V, kPart, kVectors>::kPixels;
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

// Whether rows have many pixels of few channels, without gaps: then one vector holds several
// pixels.
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

  // The byte of a vector that each sum belongs to.
  uint8_t count[V::kBytes];
  for (int i = 0; i < V::kBytes; ++i) count[i] = static_cast<uint8_t>(i);
  float byte[V::kBytes];
  V::store(byte, V::sub(V::widen(V::load(count)), V::floats(V::kBias)));

  for (int64_t c = 0; c < window.channels; ++c) totals[c] = 0;
  for (int i = 0; i < V::kBytes; ++i) {
    const int c = static_cast<int>(byte[i]);
    if (c < step) totals[c % window.channels] += sums[i];
  }
  for (int64_t p = 0; p < window.planes; ++p, x += window.plane_stride) {
    for (int64_t i = 0; i < window.rows; ++i) {
      const uint8_t* from = x + i * window.row_stride;
      for (int64_t j = wide.columns * step; j < row; ++j) {
        totals[j % window.channels] += from[j] ^ flip;
      }
    }
  }
}

template <class V>
void run_mean(Window window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
              const Requantize& q, uint8_t* y) {
  // < 2^23: times a zero point it is less than 2^31.
  const auto taps = static_cast<int32_t>(window.planes * window.rows * window.columns);
  const int32_t start = -x_zero_point * taps;
  // Merges rows without gaps between them, then planes.
  for (int i = 0; i < 2 && window.row_stride == window.columns * window.pixel_stride; ++i) {
    window.columns *= window.rows;
    window.rows = window.planes;
    window.row_stride = window.plane_stride;
    window.planes = 1;
  }
  const bool narrow = is_narrow<V>(window);
  if (window.channels < 8 && !narrow) {
    return mean_scalar(window, x_flip, x_zero_point, multiplier, q, y);
  }
  if (!narrow) {
    return run_blocks(window, MeanBlock<V>{window, V::bytes(x_flip), V::ints(start),
                                           V::floats(multiplier), VectorRequantize<V>(q), y});
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
