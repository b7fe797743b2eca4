#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::fp16 {

void add_avx2(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
              int64_t n) {
  run_add<RealAvx2>(args, a, b, y, n);
}

void mul_avx2(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
              int64_t n) {
  run_mul<RealAvx2>(args, a, b, y, n);
}

void unary_avx2(const UnaryArgs& args, const uint16_t* x, uint16_t* y, int64_t n) {
  run_unary<RealAvx2>(args, x, y, n);
}

void softmax_avx2(const uint16_t* x, uint16_t* y, int64_t n, float* scratch) {
  run_softmax<RealAvx2>(x, y, n, scratch);
}

void max_avx2(const pool::Window& window, uint16_t* y) { run_max<RealAvx2>(window, y); }

void mean_avx2(const pool::Window& window, double divisor, uint16_t* y) {
  run_mean<RealAvx2>(window, divisor, y);
}

}  // namespace qnative::fp16
