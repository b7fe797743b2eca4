#include "pool.h"

namespace qnative::pool {

void max_scalar(const Window& window, uint8_t flip, uint8_t* y) {
  for (int64_t o = 0; o < window.outputs; ++o) {
    for (int64_t c = 0; c < window.channels; ++c) {
      const uint8_t* x = window.x + o * window.output_stride + c;
      uint8_t most = 0;
      for (int64_t i = 0; i < window.rows; ++i) {
        for (int64_t j = 0; j < window.columns; ++j) {
          const uint8_t v = x[i * window.row_stride + j * window.pixel_stride] ^ flip;
          most = v > most ? v : most;
        }
      }
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
      for (int64_t i = 0; i < window.rows; ++i) {
        for (int64_t j = 0; j < window.columns; ++j) {
          sum += (x[i * window.row_stride + j * window.pixel_stride] ^ x_flip) - x_zero_point;
        }
      }
      *y++ = requantize(static_cast<float>(sum) * multiplier, q);
    }
  }
}

}  // namespace qnative::pool
