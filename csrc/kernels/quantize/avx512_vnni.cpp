#include "body.h"
#include "simd/avx512.h"
#include "simd/real_avx512.h"

namespace qnative::quantize {
namespace {

struct Real : RealAvx512 {
  static unsigned above(F x, F y) { return _mm512_cmp_ps_mask(x, y, _CMP_GT_OQ); }
  // op on lanes l and l + 8, then l + 4, l + 2 and l + 1.
  template <class Op>
  static float fold(F x, Op op) {
    x = op(x, permuted(x, _mm512_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0)));
    x = op(x, permuted(x, _mm512_setr_epi32(4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
    x = op(x, _mm512_shuffle_ps(x, x, 0b01001110));
    x = op(x, _mm512_shuffle_ps(x, x, 0b10110001));
    return _mm_cvtss_f32(_mm512_castps512_ps128(x));
  }

 private:
  static F permuted(F x, __m512i order) {
    return _mm512_castsi512_ps(_mm512_permutexvar_epi32(order, _mm512_castps_si512(x)));
  }
};

}  // namespace

void quantize_avx512_vnni(const float* x, uint8_t* y, int64_t n, float inverse_scale,
                          const Requantize& q) {
  run_quantize<Avx512>(x, y, n, inverse_scale, q);
}

void dequantize_avx512_vnni(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero_point,
                            uint8_t flip) {
  run_dequantize<Avx512>(x, y, n, scale, zero_point, flip);
}

void quantize_each_avx512_vnni(const float* x, uint8_t* y, int64_t n, const float* inverse_scale,
                               const int32_t* zero_point, int32_t lo, int32_t hi, uint8_t flip) {
  run_quantize_each<Avx512>(x, y, n, inverse_scale, zero_point, lo, hi, flip);
}

void dequantize_each_avx512_vnni(const uint8_t* x, float* y, int64_t n, const float* scale,
                                 const int32_t* zero_point, uint8_t flip) {
  run_dequantize_each<Avx512>(x, y, n, scale, zero_point, flip);
}

Summary summarize_avx512_vnni(const float* x, int64_t n) { return run_summarize<Real>(x, n); }

int64_t find_above_avx512_vnni(const float* x, int64_t n, float threshold, int32_t* positions,
                               int64_t limit) {
  return run_find_above<Real>(x, n, threshold, positions, limit);
}

}  // namespace qnative::quantize
