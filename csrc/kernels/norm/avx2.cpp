#include "body.h"
#include "simd/words_avx2.h"

namespace qnative::norm {

void sum_avx2(const uint8_t* x, int64_t n, uint8_t flip, int64_t* sum, int64_t* squares) {
  run_sum<Avx2>(x, n, flip, sum, squares);
}

void sum_columns_avx2(const uint8_t* x, int64_t rows, int64_t stride, int64_t n, uint8_t flip,
                      int64_t* sum, int64_t* squares) {
  run_sum_columns<Avx2>(x, rows, stride, n, flip, sum, squares);
}

void sum_words_avx2(const int16_t* x, int64_t n, int64_t* sum, int64_t* squares) {
  run_sum_words<WordsAvx2>(x, n, sum, squares);
}

void scale_avx2(const Args& args, const void* x, void* y, int64_t n, float scale, float shift) {
  run_scale<WordsAvx2>(args, x, y, n, scale, shift);
}

void scale_each_avx2(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, const float* scale,
                     const float* shift) {
  run_scale_each<Avx2>(args, x, y, n, scale, shift);
}

void affine_avx2(const Args& args, const void* x, void* y, int64_t n, const Affine& affine) {
  run_affine<WordsAvx2>(args, x, y, n, affine);
}

void affine_float_avx2(const Args& args, const void* x, float* y, int64_t n, const Affine& affine) {
  run_affine_float<WordsAvx2>(args, x, y, n, affine);
}

void prelu_avx2(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
                const float* negative) {
  run_prelu<Avx2>(args, x, y, n, positive, negative);
}

uint8_t largest_avx2(const uint8_t* x, int64_t n, uint8_t flip) {
  return run_largest<Avx2>(x, n, flip);
}

}  // namespace qnative::norm
