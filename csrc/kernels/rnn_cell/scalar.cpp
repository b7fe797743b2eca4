#include "body.h"
#include "simd/real_scalar.h"

namespace qnative::rnn_cell {
void lstm_scalar(const Args& args, int64_t begin, int64_t end) {
  run<RealScalar, Lstm>(args, begin, end);
}
void gru_scalar(const Args& args, int64_t begin, int64_t end) {
  run<RealScalar, Gru>(args, begin, end);
}
void rnn_tanh_scalar(const Args& args, int64_t begin, int64_t end) {
  run<RealScalar, RnnTanh>(args, begin, end);
}
void rnn_relu_scalar(const Args& args, int64_t begin, int64_t end) {
  run<RealScalar, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
