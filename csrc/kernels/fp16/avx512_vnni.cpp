#include "body.h"
#include "simd/real_avx512.h"

namespace qnative::fp16 {

void add_avx512_vnni(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
                     int64_t n) {
  run_add<RealAvx512>(args, a, b, y, n);
}

void mul_avx512_vnni(const BinaryArgs& args, const uint16_t* a, const uint16_t* b, uint16_t* y,
                     int64_t n) {
  run_mul<RealAvx512>(args, a, b, y, n);
}

void unary_avx512_vnni(const UnaryArgs& args, const uint16_t* x, uint16_t* y, int64_t n) {
  run_unary<RealAvx512>(args, x, y, n);
}

void softmax_avx512_vnni(const uint16_t* x, uint16_t* y, int64_t n, float* scratch) {
  run_softmax<RealAvx512>(x, y, n, scratch);
}

void max_avx512_vnni(const pool::Window& window, uint16_t* y) { run_max<RealAvx512>(window, y); }

void mean_avx512_vnni(const pool::Window& window, double divisor, uint16_t* y) {
  run_mean<RealAvx512>(window, divisor, y);
}

}  // namespace qnative::fp16
