#include "simd/avx2.h"

#include "body.h"

namespace qnative::rnn_cell {

void lstm_avx2(const Args& args, int64_t begin, int64_t end) { run<Avx2, Lstm>(args, begin, end); }
void gru_avx2(const Args& args, int64_t begin, int64_t end) { run<Avx2, Gru>(args, begin, end); }
void rnn_tanh_avx2(const Args& args, int64_t begin, int64_t end) {
  run<Avx2, RnnTanh>(args, begin, end);
}
void rnn_relu_avx2(const Args& args, int64_t begin, int64_t end) {
  run<Avx2, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
