#include "body.h"
#include "simd/real_avx2.h"
#include "simd/words_avx2.h"

namespace qnative::quantize {
namespace {

struct Real : RealAvx2 {
  static unsigned above(F x, F y) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GT_OQ)));
  }
};

}  // namespace

void quantize_avx2(const float* x, uint8_t* y, int64_t n, float inverse_scale,
                   const Requantize& q) {
  run_quantize<Avx2>(x, y, n, inverse_scale, q);
}

void dequantize_avx2(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                     uint8_t flip) {
  run_dequantize<Avx2>(x, y, n, scale, zero_point, flip);
}

void quantize_words_avx2(const float* x, int16_t* y, int64_t n, float inverse_scale,
                         const Requantize& q) {
  run_quantize_words<WordsAvx2>(x, y, n, inverse_scale, q);
}

void dequantize_words_avx2(const int16_t* x, float* y, int64_t n, float scale) {
  run_dequantize_words<WordsAvx2>(x, y, n, scale);
}

void quantize_each_avx2(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                        const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  run_quantize_each<Avx2>(x, y, n, inverse_scale, zero_point, lo, hi, flip);
}

void dequantize_each_avx2(const uint8_t* x, float* y, int64_t n, const float* scale,
                          const int32_t* zero_point, uint8_t flip) {
  run_dequantize_each<Avx2>(x, y, n, scale, zero_point, flip);
}

Summary summarize_avx2(const float* x, int64_t n) { return run_summarize<Real>(x, n); }

int64_t find_above_avx2(const float* x, int64_t n, float threshold, int32_t* positions,
                        int64_t limit) {
  return run_find_above<Real>(x, n, threshold, positions, limit);
}

}  // namespace qnative::quantize
