#include "body.h"
#include "simd/avx512.h"
#include "simd/real_avx512.h"

namespace qnative::attention {
namespace {

// The lowest bytes of the lanes of two vectors of 16, then the second bytes.
struct Order {
  uint8_t index[64];
  constexpr Order() : index() {
    for (int i = 0; i < 64; ++i) index[i] = static_cast<uint8_t>(i % 32 * 4 + i / 32);
  }
};
alignas(64) constexpr Order kOrder;

struct Real : RealAvx512 {
  using Ints = __m512i;
  using Mask = unsigned;
  static Mask none() { return 0; }
  static Mask unordered(Mask m, F x, F y) { return m | _mm512_cmp_ps_mask(x, y, _CMP_UNORD_Q); }
  static bool any(Mask m) { return m != 0; }
  static F first(F x, int64_t n, float y) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>((1U << n) - 1), set(y), x);
  }
  static F load_ints(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
  static Ints zero() { return _mm512_setzero_si512(); }
  static Ints add_bits(Ints sum, F x) { return _mm512_add_epi32(sum, _mm512_castps_si512(x)); }
  static void store_bits(uint32_t* p, Ints x) { _mm512_storeu_si512(p, x); }
  static void split(const F (&x)[4], uint8_t* high, uint8_t* low) {
    const __m512i order = Avx512::load(kOrder.index);
    const __m512i a =
        _mm512_permutex2var_epi8(_mm512_castps_si512(x[0]), order, _mm512_castps_si512(x[1]));
    const __m512i b =
        _mm512_permutex2var_epi8(_mm512_castps_si512(x[2]), order, _mm512_castps_si512(x[3]));
    Avx512::store(low, _mm512_inserti64x4(a, _mm512_castsi512_si256(b), 1));
    Avx512::store(high, _mm512_inserti64x4(b, _mm512_extracti64x4_epi64(a, 1), 0));
  }
  // Exact in float64, until it is rounded.
  static F combine(Ints high, Ints low) {
    return narrow({combine(_mm512_castsi512_si256(high), _mm512_castsi512_si256(low)),
                   combine(_mm512_extracti64x4_epi64(high, 1), _mm512_extracti64x4_epi64(low, 1))});
  }

 private:
  static __m512d combine(__m256i high, __m256i low) {
    return _mm512_fmadd_pd(_mm512_cvtepi32_pd(high), _mm512_set1_pd(256), _mm512_cvtepi32_pd(low));
  }
};

}  // namespace

int64_t probabilities_avx512_vnni(int32_t* x, float scale, const float* mask, int64_t n,
                                  int64_t width, uint8_t* high, uint8_t* low) {
  return run_probabilities<Real>(x, scale, mask, n, width, high, low);
}

void combine_avx512_vnni(const Combine& args, const int32_t* high, const int32_t* low,
                         float multiplier, uint8_t* y, int64_t n) {
  run_combine_bytes<Avx512, Real>(args, high, low, multiplier, y, n);
}

void combine_float_avx512_vnni(const Combine& args, const int32_t* high, const int32_t* low,
                               float multiplier, float* y, int64_t n) {
  run_combine_floats<Avx512, Real>(args, high, low, multiplier, y, n);
}

void measure_columns_avx512_vnni(const Floats& x, const Columns& to) {
  run_measure_columns<Avx512, Real>(x, to);
}

void quantize_columns_avx512_vnni(const Floats& x, const Columns& columns, uint8_t* y,
                                  int64_t y_stride) {
  run_quantize_columns<Avx512>(x, columns, y, y_stride);
}

void quantize_rows_avx512_vnni(const Floats& x, const float* factor, const QuantizedRows& to) {
  run_quantize_rows<Avx512, Real>(x, factor, to);
}

void float_rows_avx512_vnni(const FloatRows& args, float* scratch) {
  run_float_rows<Avx512, Real>(args, scratch);
}

}  // namespace qnative::attention
