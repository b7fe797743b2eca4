#include "body.h"
#include "simd/words_avx2.h"

namespace qnative::elementwise {

void add_avx2(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  run<WordsAvx2, Add>(args, a, b, y, n);
}

void mul_avx2(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  run<WordsAvx2, Mul>(args, a, b, y, n);
}

}  // namespace qnative::elementwise
