#include "simd/avx2.h"

#include "body.h"

namespace qnative::elementwise {

void add_avx2(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  run<Avx2, Add>(args, a, b, y, n);
}

void mul_avx2(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  run<Avx2, Mul>(args, a, b, y, n);
}

}  // namespace qnative::elementwise
