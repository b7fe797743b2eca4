#include "body.h"
#include "simd/avx512.h"

namespace qnative::elementwise {

void add_avx512_vnni(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  run<Avx512, Add>(args, a, b, y, n);
}

void mul_avx512_vnni(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  run<Avx512, Mul>(args, a, b, y, n);
}

}  // namespace qnative::elementwise
