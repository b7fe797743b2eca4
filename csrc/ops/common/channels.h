#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "common/checks.h"
#include "common/parallel.h"
#include "common/scratch.h"

// Ops on x [N, C, ...] that are a function of one byte and two numbers of its channel.
namespace qnative::ops {

void check_channel_op(const char* op, const QTensor& x, at::DeviceType device);

// Input and output in the same order of memory: [N][C][pixels], or [N][pixels][C].
struct ChannelTensors {
  at::Tensor x, y;
  int64_t images, channels, pixels;
  bool channels_innermost;

  ChannelTensors(const at::Tensor& x, at::ScalarType y_dtype);

  // As one channel, for ops that do not tell channels apart.
  void flatten();

  const uint8_t* x_bytes() const { return static_cast<const uint8_t*>(x.const_data_ptr()); }
  uint8_t* y_bytes() const { return static_cast<uint8_t*>(y.mutable_data_ptr()); }
};
at::Tensor empty_channels_meta(const at::Tensor& x, at::ScalarType y_dtype);

// y[i] = table[x[i]] for a table that make(x, y, n) fills: quicker for long runs than make itself.
template <class Make>
void run_as_lookup(const uint8_t* x, uint8_t* y, int64_t n, const Make& make);
void lookup_bytes(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table);
const uint8_t* all_bytes();

// The two numbers of each channel: [sets][C], of one set for all images or one set an image.
struct ChannelConstants {
  const float* first;
  const float* second;
  int64_t sets;
};

// op.run(x, y, n, first, second) for n bytes of one channel; op.run_each(x, y, n, first, second)
// for n bytes with arrays of n numbers.
template <class Op>
void apply_channels(const Op& op, const ChannelTensors& t, const ChannelConstants& constants);

// ---- templates -----------------------------------------------------------------------------

inline constexpr int64_t kChannelGrain = 32 * 1024;  // bytes a task

template <class Make>
void run_as_lookup(const uint8_t* x, uint8_t* y, int64_t n, const Make& make) {
  constexpr int64_t kTable = 256, kWorthIt = 3 * kTable;
  if (n < kWorthIt) return make(x, y, n);
  uint8_t table[kTable];
  make(all_bytes(), table, kTable);
  lookup_bytes(x, y, n, table);
}

// [sets][n] as [sets][repeat][n].
void repeat_sets(const float* from, int64_t sets, int64_t n, int64_t repeat, float* to);

template <class Op>
void apply_outer_channels(const Op& op, const ChannelTensors& t, const ChannelConstants& k) {
  run_parts(t.images * t.channels, t.pixels, kChannelGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = k.sets == 1 ? i % t.channels : i;
      run_as_lookup(t.x_bytes() + i * t.pixels, t.y_bytes() + i * t.pixels, t.pixels,
                    [&](const uint8_t* x, uint8_t* y, int64_t n) {
                      op.run(x, y, n, k.first[c], k.second[c]);
                    });
    }
  });
}

template <class Op>
void apply_inner_channels(const Op& op, const ChannelTensors& t, const ChannelConstants& k) {
  // As many pixels at a time as make a call worth its while.
  constexpr int64_t kBytes = 512;
  const int64_t pixels = t.images * t.pixels / k.sets;
  const int64_t repeat = std::clamp<int64_t>(kBytes / t.channels, 1, pixels);
  const int64_t width = repeat * t.channels, blocks = (pixels + repeat - 1) / repeat;
  Scratch scratch(2 * Scratch::bytes<float>(k.sets * width));
  auto* const first = scratch.take<float>(k.sets * width);
  auto* const second = scratch.take<float>(k.sets * width);
  repeat_sets(k.first, k.sets, t.channels, repeat, first);
  repeat_sets(k.second, k.sets, t.channels, repeat, second);
  run_parts(k.sets * blocks, width, kChannelGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t set = i / blocks, pixel = i % blocks * repeat;
      const int64_t offset = (set * pixels + pixel) * t.channels;
      op.run_each(t.x_bytes() + offset, t.y_bytes() + offset,
                  std::min(repeat, pixels - pixel) * t.channels, first + set * width,
                  second + set * width);
    }
  });
}

template <class Op>
void apply_channels(const Op& op, const ChannelTensors& t, const ChannelConstants& constants) {
  t.channels_innermost ? apply_inner_channels(op, t, constants)
                       : apply_outer_channels(op, t, constants);
}

}  // namespace qnative::ops
