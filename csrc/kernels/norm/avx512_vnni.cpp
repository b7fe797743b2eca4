#include "body.h"
#include "simd/lookup_avx512.h"
#include "simd/words_avx512.h"

namespace qnative::norm {

void sum_avx512_vnni(const uint8_t* x, int64_t n, uint8_t flip, int64_t* sum, int64_t* squares) {
  run_sum<Avx512>(x, n, flip, sum, squares);
}

void sum_columns_avx512_vnni(const uint8_t* x, int64_t rows, int64_t stride, int64_t n,
                             uint8_t flip, int64_t* sum, int64_t* squares) {
  run_sum_columns<Avx512>(x, rows, stride, n, flip, sum, squares);
}

void sum_words_avx512_vnni(const int16_t* x, int64_t n, int64_t* sum, int64_t* squares) {
  run_sum_words<WordsAvx512>(x, n, sum, squares);
}

void scale_avx512_vnni(const Args& args, const void* x, void* y, int64_t n, float scale,
                       float shift) {
  run_scale<WordsAvx512>(args, x, y, n, scale, shift);
}

void scale_each_avx512_vnni(const Args& args, const uint8_t* x, uint8_t* y, int64_t n,
                            const float* scale, const float* shift) {
  run_scale_each<Avx512>(args, x, y, n, scale, shift);
}

void affine_avx512_vnni(const Args& args, const void* x, void* y, int64_t n, const Affine& affine) {
  run_affine<WordsAvx512>(args, x, y, n, affine);
}

void affine_float_avx512_vnni(const Args& args, const void* x, float* y, int64_t n,
                              const Affine& affine) {
  run_affine_float<WordsAvx512>(args, x, y, n, affine);
}

void prelu_avx512_vnni(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
                       const float* negative) {
  run_prelu<Avx512>(args, x, y, n, positive, negative);
}

uint8_t largest_avx512_vnni(const uint8_t* x, int64_t n, uint8_t flip) {
  return run_largest<Avx512>(x, n, flip);
}

// Looks up each of the four bytes of the fixed-point numbers and combines their sums at the end.
int64_t sum_exponentials_avx512_vnni(const Exponentials& e, const uint8_t* x, int64_t n,
                                     uint8_t flip, uint8_t largest) {
  const auto first = static_cast<uint8_t>(255 - largest);
  const __m512i flips = Avx512::bytes(flip), firsts = Avx512::bytes(first);
  const Lookup512 plane0(e.plane[0]), plane1(e.plane[1]), plane2(e.plane[2]), plane3(e.plane[3]);
  __m512i sum0, sum1, sum2, sum3;
  sum0 = sum1 = sum2 = sum3 = _mm512_setzero_si512();
  const auto add = [](__m512i& sum, __m512i v) {
    sum = _mm512_add_epi64(sum, _mm512_sad_epu8(v, _mm512_setzero_si512()));
  };
  for (int64_t i = 0; i < n; i += 64) {
    const __m512i v = i + 64 <= n ? Avx512::load(x + i) : Avx512::load(x + i, n - i);
    const __m512i index = _mm512_add_epi8(_mm512_xor_si512(v, flips), firsts);
    add(sum0, plane0(index));
    add(sum1, plane1(index));
    add(sum2, plane2(index));
    add(sum3, plane3(index));
  }
  int64_t lanes[4][8], total = 0;
  _mm512_storeu_si512(lanes[0], sum0);
  _mm512_storeu_si512(lanes[1], sum1);
  _mm512_storeu_si512(lanes[2], sum2);
  _mm512_storeu_si512(lanes[3], sum3);
  for (int i = 0; i < 4; ++i) {
    for (int64_t lane : lanes[i]) total += lane << 8 * i;
  }
  // The bytes after the last one in its vector are 0.
  const int64_t padding = (64 - n % 64) % 64;
  return total - padding * e.fixed[static_cast<uint8_t>(flip + first)];
}

}  // namespace qnative::norm
