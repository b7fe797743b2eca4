#include "body.h"
#include "simd/intrinsics_avx512.h"

namespace qnative::channel_params {
namespace {

struct Vector {
  static constexpr int kLanes = 8;
  using Floats = __m256;
  using Flags = __mmask8;

  static Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static Floats floats(float x) { return _mm256_set1_ps(x); }
  static Floats scaled(Floats x, double factor, double divisor) {
    const __m512d product = _mm512_mul_pd(_mm512_set1_pd(factor), _mm512_cvtps_pd(x));
    return _mm512_cvtpd_ps(_mm512_div_pd(product, _mm512_set1_pd(divisor)));
  }
  static Floats magnitude(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static Flags below(Floats x, Floats y) { return _mm256_cmp_ps_mask(x, y, _CMP_LT_OQ); }
  static Flags up_to(Floats x, Floats y) { return _mm256_cmp_ps_mask(x, y, _CMP_LE_OQ); }
  static Flags all() { return 0xff; }
  static Flags both(Flags x, Flags y) { return x & y; }
  static bool is_all(Flags x) { return x == 0xff; }
};

}  // namespace

Summary scale_avx512_vnni(const Args& args) { return run<Vector>(args); }

}  // namespace qnative::channel_params
