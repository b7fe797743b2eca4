#include "strip.h"

#include <algorithm>
#include <cstring>

namespace qnative::ops {
namespace {

// Pixels [0, n) of one image row, `channels` bytes each.
void copy_pixels(const Source& x, const uint8_t* from, int64_t n, int64_t channels, uint8_t* to) {
  if (x.channel_stride == 1 && x.pixel_stride == channels) {
    copy_flipped(from, to, n * channels, x.flip);
  } else if (x.channel_stride == 1) {
    for (int64_t i = 0; i < n; ++i) {
      copy_flipped(from + i * x.pixel_stride, to + i * channels, channels, x.flip);
    }
  } else {
    for (int64_t c = 0; c < channels; ++c) {
      const uint8_t* plane = from + c * x.channel_stride;
      for (int64_t i = 0; i < n; ++i) to[i * channels + c] = plane[i * x.pixel_stride] ^ x.flip;
    }
  }
}

}  // namespace

void copy_flipped(const uint8_t* x, uint8_t* y, int64_t n, uint8_t flip) {
  if (flip == 0) {
    std::memcpy(y, x, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] ^ flip;
  }
}

void copy_strip(const Source& x, const Window& window, const Strip& strip, uint8_t* to) {
  const int64_t row_bytes = strip.columns * strip.channels;
  const bool inside = strip.first_row >= 0 && strip.first_row + strip.rows <= x.height &&
                      strip.first_column == 0 && strip.columns == x.width;
  if (inside && x.channel_stride == 1 && x.pixel_stride == strip.channels &&
      x.row_stride == row_bytes) {
    const int64_t begin = strip.image * x.image_stride + strip.first_row * row_bytes;
    return copy_flipped(x.data + begin, to, strip.rows * row_bytes, x.flip);
  }
  const int64_t left = std::clamp<int64_t>(-strip.first_column, 0, strip.columns);
  const int64_t end = std::clamp<int64_t>(x.width - strip.first_column, left, strip.columns);
  const uint8_t* image = x.data + strip.image * x.image_stride +
                         strip.first_channel * x.channel_stride +
                         (strip.first_column + left) * x.pixel_stride;
  for (int64_t r = 0; r < strip.rows; ++r, to += row_bytes) {
    if (r % window.stride_h >= window.extent_h()) continue;
    const int64_t row = strip.first_row + r;
    if (row < 0 || row >= x.height) {
      std::memset(to, x.pad_value, row_bytes);
      continue;
    }
    std::memset(to, x.pad_value, left * strip.channels);
    copy_pixels(x, image + row * x.row_stride, end - left, strip.channels,
                to + left * strip.channels);
    std::memset(to + end * strip.channels, x.pad_value, (strip.columns - end) * strip.channels);
  }
}

}  // namespace qnative::ops
