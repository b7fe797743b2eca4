#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <tuple>

#include "qnative/export.h"
#include "qnative/types.h"

// Recurrent layers and cells with int8 or float16 weights; float32 comes in and goes out.
// qnative/ops.h has the words and rules. Formulas of the cells, layers and shapes: those of
// torch.nn.LSTM, GRU, LSTMCell, GRUCell and RNNCell.
//
//   const auto [y, h, c] = ops::lstm(x, {h0, c0}, {weights, scales, biases}, {.input_size = 64,
//                                    .hidden_size = 128, .num_layers = 2}, /*batch_first=*/true);
//
// Safe to call from any number of threads at the same time, also with one set of weights.
//
// With int8 weights every row that is multiplied (the input and the hidden state of a time step) is
// quantized to uint8 with a scale and a zero point of its own, as linear_dynamic does, and gates
// g of lstm and n of gru also get the product with what that leaves of the input; what follows is
// float32. The cells compute, with a = x w_ih' + b_ih and b = h w_hh' + b_hh:
//   lstm: c' = fma(sigmoid(a_f + b_f), c, sigmoid(a_i + b_i) * tanh(a_g + b_g)),
//         h' = sigmoid(a_o + b_o) * tanh(c'), multiplied by w_hr if there is one
//   gru:  n = tanh(fma(sigmoid(a_r + b_r), b_n, a_n)), h' = fma(sigmoid(a_z + b_z), h - n, n)
//   rnn:  h' = tanh(a + b) or relu(a + b)
// sigmoid and tanh are accurate to 2e-7.
namespace qnative {

// Tensors of each layer and direction, in the order of torch's parameters. These are views of the
// caller's lists.
struct RecurrentWeights {
  at::TensorList packed;       // w_ih, w_hh and, with proj_size, w_hr: from linear_pack (int8) or
                               // linear_fp16_pack (float16)
  at::TensorList scales = {};  // float32 [N] for each int8 weight; float16: empty
  at::TensorList biases = {};  // b_ih, b_hh, float32; or empty
};

struct RecurrentShape {
  int64_t input_size, hidden_size;
  int64_t proj_size = 0;  // of lstm
  int64_t num_layers = 1;
  bool bidirectional = false;
};

// The first state, float32; none: zeros. c: of lstm.
struct RecurrentState {
  std::optional<at::Tensor> h = {};
  std::optional<at::Tensor> c = {};
};

// The parts of torch's PackedSequence: data float32 [rows, input_size], batch_sizes int64 [T],
// which do not increase.
struct PackedSequence {
  at::Tensor data;
  at::Tensor batch_sizes;
};

}  // namespace qnative

namespace qnative::ops {

// x: float32 [T, B, input_size], [B, T, input_size] with batch_first, or [T, input_size]; T > 0.
// Returns y [T, B, D * P] ([B, T, D * P] with batch_first), h [num_layers * D, B, P] and c
// [num_layers * D, B, hidden_size], D directions and P = proj_size or hidden_size.
QNATIVE_API std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& x,
                                                                const RecurrentState& first,
                                                                const RecurrentWeights& weights,
                                                                const RecurrentShape& shape,
                                                                bool batch_first = false);

// lstm.data: y [rows, D * P], h and c. `first` has both states, of batch_sizes[0] rows.
QNATIVE_API std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_data(
    const PackedSequence& x, const RecurrentState& first, const RecurrentWeights& weights,
    const RecurrentShape& shape);

// As lstm and lstm.data: y and h.
QNATIVE_API std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& x, const RecurrentState& first,
                                                   const RecurrentWeights& weights,
                                                   const RecurrentShape& shape,
                                                   bool batch_first = false);
QNATIVE_API std::tuple<at::Tensor, at::Tensor> gru_data(const PackedSequence& x,
                                                        const RecurrentState& first,
                                                        const RecurrentWeights& weights,
                                                        const RecurrentShape& shape);

// x: float32 [B, input_size] or [input_size]; states: [B, hidden_size] or [hidden_size]. A cell has
// one layer and one direction. Returns the next h and c.
QNATIVE_API std::tuple<at::Tensor, at::Tensor> lstm_cell(const at::Tensor& x,
                                                         const RecurrentState& state,
                                                         const RecurrentWeights& weights,
                                                         const RecurrentShape& shape);

// The same for cells without c.
QNATIVE_API at::Tensor gru_cell(const at::Tensor& x, const RecurrentState& state,
                                const RecurrentWeights& weights, const RecurrentShape& shape);
QNATIVE_API at::Tensor rnn_tanh_cell(const at::Tensor& x, const RecurrentState& state,
                                     const RecurrentWeights& weights, const RecurrentShape& shape);
QNATIVE_API at::Tensor rnn_relu_cell(const at::Tensor& x, const RecurrentState& state,
                                     const RecurrentWeights& weights, const RecurrentShape& shape);

}  // namespace qnative::ops
