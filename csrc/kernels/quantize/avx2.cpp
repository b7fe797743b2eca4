#include "simd/avx2.h"

#include "body.h"

namespace qnative::quantize {

void quantize_avx2(const float* x, uint8_t* y, int64_t n, float inverse_scale,
                   const Requantize& q) {
  run_quantize<Avx2>(x, y, n, inverse_scale, q);
}

void dequantize_avx2(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                     uint8_t flip) {
  run_dequantize<Avx2>(x, y, n, scale, zero_point, flip);
}

void quantize_each_avx2(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                        const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  run_quantize_each<Avx2>(x, y, n, inverse_scale, zero_point, lo, hi, flip);
}

void dequantize_each_avx2(const uint8_t* x, float* y, int64_t n, const float* scale,
                          const int32_t* zero_point, uint8_t flip) {
  run_dequantize_each<Avx2>(x, y, n, scale, zero_point, flip);
}

void min_max_avx2(const float* x, int64_t n, float* min, float* max) {
  run_min_max<Avx2>(x, n, min, max);
}

}  // namespace qnative::quantize
