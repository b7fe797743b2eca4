#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <tuple>

#include "qnative/export.h"

// Recurrent layers and cells with int8 or float16 weights; float32 comes in and goes out. The words
// and errors of qnative/ops.h. Formulas of the cells, layers and shapes: those of torch.nn.LSTM,
// GRU, LSTMCell, GRUCell and RNNCell.
//
//   weights        of each layer and direction w_ih, w_hh and, with proj_size, w_hr, in the order
//                  of torch's parameters: packed by linear_pack (int8) or linear_pack_fp16
//                  (float16)
//   weight_scales  float32 [N] for each int8 weight, one scale an output channel; float16: empty
//   biases         of each layer and direction b_ih, b_hh, float32; or empty
//   h0, c0, h, c   first states, float32; none: zeros
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
namespace qnative::ops {

// x: float32 [T, B, input_size], [B, T, input_size] with batch_first, or [T, input_size]; T > 0.
// Returns y [T, B, D * P] ([B, T, D * P] with batch_first), h [num_layers * D, B, P] and c
// [num_layers * D, B, hidden_size], D directions and P = proj_size or hidden_size.
QNATIVE_API std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(
    const at::Tensor& x, const std::optional<at::Tensor>& h0, const std::optional<at::Tensor>& c0,
    at::TensorList weights, at::TensorList weight_scales, at::TensorList biases, int64_t input_size,
    int64_t hidden_size, int64_t proj_size, int64_t num_layers, bool bidirectional,
    bool batch_first);

// lstm.data, on the parts of a PackedSequence: data [rows, input_size], batch_sizes int64 [T],
// which do not increase. Returns y [rows, D * P], h and c.
QNATIVE_API std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_data(
    const at::Tensor& data, const at::Tensor& batch_sizes, const at::Tensor& h0,
    const at::Tensor& c0, at::TensorList weights, at::TensorList weight_scales,
    at::TensorList biases, int64_t input_size, int64_t hidden_size, int64_t proj_size,
    int64_t num_layers, bool bidirectional);

// As lstm and lstm.data: y and h.
QNATIVE_API std::tuple<at::Tensor, at::Tensor> gru(
    const at::Tensor& x, const std::optional<at::Tensor>& h0, at::TensorList weights,
    at::TensorList weight_scales, at::TensorList biases, int64_t input_size, int64_t hidden_size,
    int64_t num_layers, bool bidirectional, bool batch_first);
QNATIVE_API std::tuple<at::Tensor, at::Tensor> gru_data(
    const at::Tensor& data, const at::Tensor& batch_sizes, const at::Tensor& h0,
    at::TensorList weights, at::TensorList weight_scales, at::TensorList biases, int64_t input_size,
    int64_t hidden_size, int64_t num_layers, bool bidirectional);

// x: float32 [B, input_size] or [input_size]; h and c: [B, hidden_size] or [hidden_size]. weights:
// w_ih, w_hh. Returns the next h and c.
QNATIVE_API std::tuple<at::Tensor, at::Tensor> lstm_cell(
    const at::Tensor& x, const std::optional<at::Tensor>& h, const std::optional<at::Tensor>& c,
    at::TensorList weights, at::TensorList weight_scales, at::TensorList biases, int64_t input_size,
    int64_t hidden_size);

// The same for cells without c.
QNATIVE_API at::Tensor gru_cell(const at::Tensor& x, const std::optional<at::Tensor>& h,
                                at::TensorList weights, at::TensorList weight_scales,
                                at::TensorList biases, int64_t input_size, int64_t hidden_size);
QNATIVE_API at::Tensor rnn_tanh_cell(const at::Tensor& x, const std::optional<at::Tensor>& h,
                                     at::TensorList weights, at::TensorList weight_scales,
                                     at::TensorList biases, int64_t input_size,
                                     int64_t hidden_size);
QNATIVE_API at::Tensor rnn_relu_cell(const at::Tensor& x, const std::optional<at::Tensor>& h,
                                     at::TensorList weights, at::TensorList weight_scales,
                                     at::TensorList biases, int64_t input_size,
                                     int64_t hidden_size);

}  // namespace qnative::ops
