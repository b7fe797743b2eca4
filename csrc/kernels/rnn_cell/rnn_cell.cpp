#include "rnn_cell.h"

namespace qnative::rnn_cell {

Fn lstm_scalar, lstm_avx2, lstm_avx512_vnni;
Fn gru_scalar, gru_avx2, gru_avx512_vnni;
Fn rnn_tanh_scalar, rnn_tanh_avx2, rnn_tanh_avx512_vnni;
Fn rnn_relu_scalar, rnn_relu_avx2, rnn_relu_avx512_vnni;

std::span<const Kernel<Fn>> lstm_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, lstm_avx512_vnni},
      {Isa::kAvx2, lstm_avx2},
#endif
      {Isa::kScalar, lstm_scalar},
  };
  return kTable;
}

std::span<const Kernel<Fn>> gru_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, gru_avx512_vnni},
      {Isa::kAvx2, gru_avx2},
#endif
      {Isa::kScalar, gru_scalar},
  };
  return kTable;
}

std::span<const Kernel<Fn>> rnn_tanh_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, rnn_tanh_avx512_vnni},
      {Isa::kAvx2, rnn_tanh_avx2},
#endif
      {Isa::kScalar, rnn_tanh_scalar},
  };
  return kTable;
}

std::span<const Kernel<Fn>> rnn_relu_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, rnn_relu_avx512_vnni},
      {Isa::kAvx2, rnn_relu_avx2},
#endif
      {Isa::kScalar, rnn_relu_scalar},
  };
  return kTable;
}

}  // namespace qnative::rnn_cell
