#include "product/strip.h"

#include <algorithm>
#include <cstring>

#include "common/dispatch.h"
#include "interleave/interleave.h"
#include "product/rows.h"

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
  } else if (channels == 3 && x.pixel_stride == 1) {
    static auto& interleave = select(interleave::kernels());
    interleave(from, x.channel_stride, to, n, x.flip);
  } else {
    for (int64_t c = 0; c < channels; ++c) {
      const uint8_t* plane = from + c * x.channel_stride;
      for (int64_t i = 0; i < n; ++i) to[i * channels + c] = plane[i * x.pixel_stride] ^ x.flip;
    }
  }
}

// Whether a window reads row r of a strip.
bool is_read(const Window& window, int64_t r) { return r % window.stride_h < window.extent_h(); }

void pad_rows(const Source& x, const Window& window, int64_t begin, int64_t end, int64_t row_bytes,
              uint8_t* to) {
  if (window.stride_h <= window.extent_h()) {
    std::memset(to + begin * row_bytes, x.pad_value, (end - begin) * row_bytes);
    return;
  }
  for (int64_t r = begin; r < end; ++r) {
    if (is_read(window, r)) std::memset(to + r * row_bytes, x.pad_value, row_bytes);
  }
}

}  // namespace

void copy_strip(const Source& x, const Window& window, const Strip& strip, uint8_t* to) {
  const int64_t row_bytes = strip.columns * strip.channels;
  const bool has_slice = strip.slice >= 0 && strip.slice < x.depth;
  const int64_t top = has_slice ? std::clamp<int64_t>(-strip.first_row, 0, strip.rows) : strip.rows;
  const int64_t bottom = std::clamp<int64_t>(x.height - strip.first_row, top, strip.rows);
  pad_rows(x, window, 0, top, row_bytes, to);
  pad_rows(x, window, bottom, strip.rows, row_bytes, to);
  if (top == bottom) return;
  const uint8_t* from = x.data + strip.image * x.image_stride + strip.slice * x.slice_stride +
                        (strip.first_row + top) * x.row_stride +
                        strip.first_channel * x.channel_stride;
  to += top * row_bytes;
  if (strip.first_column == 0 && strip.columns == x.width && x.channel_stride == 1 &&
      x.pixel_stride == strip.channels && x.row_stride == row_bytes) {
    return copy_flipped(from, to, (bottom - top) * row_bytes, x.flip);
  }
  const int64_t left = std::clamp<int64_t>(-strip.first_column, 0, strip.columns);
  const int64_t end = std::clamp<int64_t>(x.width - strip.first_column, left, strip.columns);
  from += (strip.first_column + left) * x.pixel_stride;
  for (int64_t r = top; r < bottom; ++r, to += row_bytes, from += x.row_stride) {
    if (!is_read(window, r)) continue;
    std::memset(to, x.pad_value, left * strip.channels);
    copy_pixels(x, from, end - left, strip.channels, to + left * strip.channels);
    std::memset(to + end * strip.channels, x.pad_value, (strip.columns - end) * strip.channels);
  }
}

}  // namespace qnative::ops
