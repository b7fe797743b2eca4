#include <immintrin.h>

#include "body.h"

namespace qnative::channel_params {
namespace {

struct Vector {
  static constexpr int kLanes = 4;
  using Floats = __m128;
  using Flags = __m128;

  static Floats load(const float* p) { return _mm_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm_storeu_ps(p, x); }
  static Floats floats(float x) { return _mm_set1_ps(x); }
  static Floats scaled(Floats x, double factor, double divisor) {
    const __m256d product = _mm256_mul_pd(_mm256_set1_pd(factor), _mm256_cvtps_pd(x));
    return _mm256_cvtpd_ps(_mm256_div_pd(product, _mm256_set1_pd(divisor)));
  }
  static Floats magnitude(Floats x) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), x); }
  static Flags below(Floats x, Floats y) { return _mm_cmp_ps(x, y, _CMP_LT_OQ); }
  static Flags up_to(Floats x, Floats y) { return _mm_cmp_ps(x, y, _CMP_LE_OQ); }
  static Flags all() { return _mm_castsi128_ps(_mm_set1_epi32(-1)); }
  static Flags both(Flags x, Flags y) { return _mm_and_ps(x, y); }
  static bool is_all(Flags x) { return _mm_movemask_ps(x) == 15; }
};

}  // namespace

Summary scale_avx2(const Args& args) { return run<Vector>(args); }

}  // namespace qnative::channel_params
