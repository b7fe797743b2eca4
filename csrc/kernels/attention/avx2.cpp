#include "simd/avx2.h"

#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::attention {
namespace {

struct Real : RealAvx2 {
  using Ints = __m256i;
  using Mask = F;
  static Mask none() { return _mm256_setzero_ps(); }
  static Mask unordered(Mask m, F x, F y) {
    return _mm256_or_ps(m, _mm256_cmp_ps(x, y, _CMP_UNORD_Q));
  }
  static bool any(Mask m) { return _mm256_movemask_ps(m) != 0; }
  static F first(F x, int64_t n, float y) {
    const F lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
    return less(lane, set(static_cast<float>(n)), x, set(y));
  }
  static F load_ints(const int32_t* p) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Ints zero() { return _mm256_setzero_si256(); }
  static Ints add_bits(Ints sum, F x) { return _mm256_add_epi32(sum, _mm256_castps_si256(x)); }
  static void store_bits(uint32_t* p, Ints x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  static void split(const F (&x)[4], uint8_t* high, uint8_t* low) {
    const __m256i ab = _mm256_unpacklo_epi32(bytes(x[0]), bytes(x[1]));
    const __m256i cd = _mm256_unpacklo_epi32(bytes(x[2]), bytes(x[3]));
    Avx2::store(low, Avx2::collect(_mm256_unpacklo_epi64(ab, cd)));
    Avx2::store(high, Avx2::collect(_mm256_unpackhi_epi64(ab, cd)));
  }

  // Exact in float64, until it is rounded.
  static F combine(Ints high, Ints low) {
    return narrow({combine(_mm256_castsi256_si128(high), _mm256_castsi256_si128(low)),
                   combine(_mm256_extracti128_si256(high, 1), _mm256_extracti128_si256(low, 1))});
  }

 private:
  static __m256d combine(__m128i high, __m128i low) {
    return _mm256_fmadd_pd(_mm256_cvtepi32_pd(high), _mm256_set1_pd(256), _mm256_cvtepi32_pd(low));
  }
  // The lowest bytes of the four lanes in each half, then the second bytes.
  static __m256i bytes(F x) {
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm256_shuffle_epi8(_mm256_castps_si256(x), _mm256_broadcastsi128_si256(order));
  }
};

}  // namespace

int64_t probabilities_avx2(int32_t* x, float scale, const float* mask, int64_t n, int64_t width,
                           uint8_t* high, uint8_t* low) {
  return run_probabilities<Real>(x, scale, mask, n, width, high, low);
}

void combine_avx2(const Combine& args, const int32_t* high, const int32_t* low, float multiplier,
                  uint8_t* y, int64_t n) {
  run_combine_bytes<Avx2, Real>(args, high, low, multiplier, y, n);
}

void combine_float_avx2(const Combine& args, const int32_t* high, const int32_t* low,
                        float multiplier, float* y, int64_t n) {
  run_combine_floats<Avx2, Real>(args, high, low, multiplier, y, n);
}

void measure_columns_avx2(const Floats& x, const Columns& to) {
  run_measure_columns<Avx2, Real>(x, to);
}

void quantize_columns_avx2(const Floats& x, const Columns& columns, uint8_t* y, int64_t y_stride) {
  run_quantize_columns<Avx2>(x, columns, y, y_stride);
}

void quantize_rows_avx2(const Floats& x, const float* factor, const QuantizedRows& to) {
  run_quantize_rows<Avx2, Real>(x, factor, to);
}

void float_rows_avx2(const FloatRows& args, float* scratch) {
  run_float_rows<Avx2, Real>(args, scratch);
}

}  // namespace qnative::attention
