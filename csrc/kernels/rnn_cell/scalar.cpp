#include "body.h"
#include "simd/real_scalar.h"

namespace qnative::rnn_cell {
namespace {

struct Vector : RealScalar {
  static F load(const float* p) { return *p; }
  static void store(float* p, F x) { *p = x; }
};

}  // namespace

void lstm_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Vector, Lstm>(args, begin, end);
}
void gru_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Vector, Gru>(args, begin, end);
}
void rnn_tanh_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Vector, RnnTanh>(args, begin, end);
}
void rnn_relu_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Vector, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
