#include "simd/scalar.h"

#include "body.h"

namespace qnative::rnn_cell {

void lstm_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Scalar, Lstm>(args, begin, end);
}
void gru_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Scalar, Gru>(args, begin, end);
}
void rnn_tanh_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Scalar, RnnTanh>(args, begin, end);
}
void rnn_relu_scalar(const Args& args, int64_t begin, int64_t end) {
  run<Scalar, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
