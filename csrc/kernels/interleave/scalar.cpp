#include "interleave.h"

namespace qnative::interleave {

void scalar(const uint8_t* x, int64_t plane_stride, uint8_t* y, int64_t n, uint8_t flip) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < 3; ++c) y[3 * i + c] = x[c * plane_stride + i] ^ flip;
  }
}

void transpose_scalar(const Planes& p, uint8_t* y, int64_t pixel_stride) {
  for (int64_t i = 0; i < p.n; ++i) {
    for (int64_t c = 0; c < p.planes; ++c) y[i * pixel_stride + c] = p.x[c * p.plane_stride + i];
  }
}

}  // namespace qnative::interleave
