#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::rnn_cell {
namespace {

struct Vector : RealAvx2 {
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
};

}  // namespace

void lstm_avx2(const Args& args, int64_t begin, int64_t end) {
  run<Vector, Lstm>(args, begin, end);
}
void gru_avx2(const Args& args, int64_t begin, int64_t end) { run<Vector, Gru>(args, begin, end); }
void rnn_tanh_avx2(const Args& args, int64_t begin, int64_t end) {
  run<Vector, RnnTanh>(args, begin, end);
}
void rnn_relu_avx2(const Args& args, int64_t begin, int64_t end) {
  run<Vector, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
