#include <immintrin.h>

#include "body.h"

namespace qnative::embedding {
namespace {

struct Floats8 {
  static constexpr int kSize = 8;
  using Floats = __m256;

  static Floats bytes(const uint8_t* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats bytes(const uint8_t* p, int64_t) { return bytes(p); }
  static Floats nibbles(const uint8_t* p) {
    int32_t eight;
    memcpy(&eight, p, sizeof(eight));
    const __m256i x =
        _mm256_srlv_epi32(_mm256_set1_epi32(eight), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    return _mm256_cvtepi32_ps(_mm256_and_si256(x, _mm256_set1_epi32(15)));
  }
  static Floats all(float x) { return _mm256_set1_ps(x); }
  static Floats add(Floats x, Floats y) { return _mm256_add_ps(x, y); }
  static Floats div(Floats x, Floats y) { return _mm256_div_ps(x, y); }
  static Floats fma(Floats x, Floats y, Floats z) { return _mm256_fmadd_ps(x, y, z); }
  // x > y ? x : y
  static Floats max(Floats x, Floats y) { return _mm256_max_ps(x, y); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static void store(float* p, Floats x, int64_t n) {
    float buffer[kSize];
    store(buffer, x);
    memcpy(p, buffer, n * sizeof(float));
  }
};

}  // namespace

void rows_8bit_avx2(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Floats8, 8>(table, indices, n, y);
}

void rows_4bit_avx2(const Table& table, const int64_t* indices, int64_t n, float* y) {
  run_rows<Floats8, 4>(table, indices, n, y);
}

void bags_8bit_avx2(const Table& table, const Bags& bags, float* y) {
  run_bags<Floats8, 8>(table, bags, y);
}

void bags_4bit_avx2(const Table& table, const Bags& bags, float* y) {
  run_bags<Floats8, 4>(table, bags, y);
}

}  // namespace qnative::embedding
