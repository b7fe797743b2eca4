#include "pool.h"

namespace qnative::pool {
namespace {

// Calls f(value) for one channel of the window that begins at x.
template <class F>
void for_taps(const Window& window, const uint8_t* x, const F& f) {
  for (int64_t p = 0; p < window.planes; ++p, x += window.plane_stride) {
    for (int64_t i = 0; i < window.rows; ++i) {
      for (int64_t j = 0; j < window.columns; ++j) {
        f(x[i * window.row_stride + j * window.pixel_stride]);
      }
    }
  }
}

}  // namespace

void max_scalar(const Window& window, uint8_t flip, uint8_t* y) {
  for (int64_t o = 0; o < window.outputs; ++o) {
    for (int64_t c = 0; c < window.channels; ++c) {
      const uint8_t* x = window.x + o * window.output_stride + c;
      uint8_t most = 0;
      for_taps(window, x, [&](uint8_t v) { most = (v ^ flip) > most ? v ^ flip : most; });
      *y++ = most ^ flip;
    }
  }
}

void mean_scalar(const Window& window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
                 const Requantize& q, uint8_t* y) {
  for (int64_t o = 0; o < window.outputs; ++o) {
    for (int64_t c = 0; c < window.channels; ++c) {
      const uint8_t* x = window.x + o * window.output_stride + c;
      int32_t sum = 0;
      for_taps(window, x, [&](uint8_t v) { sum += (v ^ x_flip) - x_zero_point; });
      *y++ = requantize(static_cast<float>(sum) * multiplier, q);
    }
  }
}

}  // namespace qnative::pool
