#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::rnn_cell {
void lstm_avx2(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx2, Lstm>(args, begin, end);
}
void gru_avx2(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx2, Gru>(args, begin, end);
}
void rnn_tanh_avx2(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx2, RnnTanh>(args, begin, end);
}
void rnn_relu_avx2(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx2, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
