#include "simd/avx2.h"

#include "body.h"

namespace qnative::pool {

void max_avx2(const Window& window, uint8_t flip, uint8_t* y) { run_max<Avx2>(window, flip, y); }

void mean_avx2(const Window& window, uint8_t x_flip, int32_t x_zero_point, float multiplier,
               const Requantize& q, uint8_t* y) {
  run_mean<Avx2>(window, x_flip, x_zero_point, multiplier, q, y);
}

}  // namespace qnative::pool
