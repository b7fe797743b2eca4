#include <immintrin.h>

#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::embedding {
namespace {

struct Vector : RealAvx2 {
  static F bytes(const uint8_t* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static F bytes(const uint8_t* p, int64_t) { return bytes(p); }
  static F nibbles(const uint8_t* p) {
    int32_t eight;
    memcpy(&eight, p, sizeof(eight));
    const __m256i x =
        _mm256_srlv_epi32(_mm256_set1_epi32(eight), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    return _mm256_cvtepi32_ps(_mm256_and_si256(x, _mm256_set1_epi32(15)));
  }
  using RealAvx2::store;
  static void store(float* p, F x, int64_t n) {
    float buffer[kLanes];
    store(buffer, x);
    memcpy(p, buffer, n * sizeof(float));
  }
};

}  // namespace

void rows_8bit_avx2(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Vector, 8>(table, indices, n, y);
}

void rows_4bit_avx2(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Vector, 4>(table, indices, n, y);
}

void bags_8bit_avx2(const Table& table, const Bags& bags, float* y) {
  run_bags<Vector, 8>(table, bags, y);
}

void bags_4bit_avx2(const Table& table, const Bags& bags, float* y) {
  run_bags<Vector, 4>(table, bags, y);
}

}  // namespace qnative::embedding
