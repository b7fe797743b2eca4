#include "body.h"
#include "simd/words_avx512.h"

namespace qnative::elementwise {

void add_avx512_vnni(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  run<WordsAvx512, Add>(args, a, b, y, n);
}

void mul_avx512_vnni(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  run<WordsAvx512, Mul>(args, a, b, y, n);
}

}  // namespace qnative::elementwise
