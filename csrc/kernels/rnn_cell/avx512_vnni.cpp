#include "body.h"
#include "simd/real_avx512.h"

namespace qnative::rnn_cell {
void lstm_avx512_vnni(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx512, Lstm>(args, begin, end);
}
void gru_avx512_vnni(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx512, Gru>(args, begin, end);
}
void rnn_tanh_avx512_vnni(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx512, RnnTanh>(args, begin, end);
}
void rnn_relu_avx512_vnni(const Args& args, int64_t begin, int64_t end) {
  run<RealAvx512, RnnRelu>(args, begin, end);
}

}  // namespace qnative::rnn_cell
