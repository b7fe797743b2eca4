#include "body.h"
#include "simd/real_avx512.h"

namespace qnative::embedding {
namespace {

struct Vector : RealAvx512 {
  static F bytes(const uint8_t* p) {
    return floats(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F bytes(const uint8_t* p, int64_t n) { return floats(_mm_maskz_loadu_epi8(first(n), p)); }
  static F nibbles(const uint8_t* p) {
    const __m512i two =
        _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m512i eight = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), two);
    const __m512i x = _mm512_srlv_epi32(
        eight, _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28));
    return _mm512_cvtepi32_ps(_mm512_and_si512(x, _mm512_set1_epi32(15)));
  }
  using RealAvx512::store;
  static void store(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, first(n), x); }

 private:
  static __mmask16 first(int64_t n) { return static_cast<__mmask16>((1 << n) - 1); }
  static F floats(__m128i x) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)); }
};

}  // namespace

void rows_8bit_avx512_vnni(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Vector, 8>(table, indices, n, y);
}

void rows_4bit_avx512_vnni(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Vector, 4>(table, indices, n, y);
}

void bags_8bit_avx512_vnni(const Table& table, const Bags& bags, float* y) {
  run_bags<Vector, 8>(table, bags, y);
}

void bags_4bit_avx512_vnni(const Table& table, const Bags& bags, float* y) {
  run_bags<Vector, 4>(table, bags, y);
}

}  // namespace qnative::embedding
