#include "qnative/ops/rnn.h"

#include <torch/library.h>

#include "common/empty.h"
#include "rnn/checks.h"
#include "rnn/recurrence.h"

namespace qnative::ops {
namespace {

using at::Tensor;
using at::TensorList;
using OptionalTensor = std::optional<Tensor>;
using Three = std::tuple<Tensor, Tensor, Tensor>;
using Two = std::tuple<Tensor, Tensor>;

// A state of its own, which the recurrence overwrites: [layers * directions, batch, features].
Tensor first_state(const OptionalTensor& state, at::IntArrayRef sizes) {
  Tensor first = empty(sizes, at::kFloat);
  if (state) {
    first.view(state->sizes()).copy_(*state);
  } else {
    first.zero_();
  }
  return first;
}

struct States {
  States(const Recurrence& net, int64_t batch, const RecurrentState& first)
      : h(first_state(first.h, {net.states(), batch, net.output_size()})),
        c(net.cell == Cell::kLstm
              ? first_state(first.c, {net.states(), batch, net.shape.hidden_size})
              : Tensor()) {}
  Tensor h, c;
};

// Outputs of a sequence: y [T, B, features] and the states, as the caller wants them.
Three arranged(const Tensor& y, const Tensor& h, const Tensor& c, bool batched, bool batch_first) {
  if (batched) return {batch_first ? y.transpose(0, 1) : y, h, c};
  return {y.squeeze(1), h.squeeze(1), c.defined() ? c.squeeze(1) : c};
}

Tensor empty_state(const Recurrence& net, const c10::SymInt& batch, int64_t size, const Tensor& x) {
  return at::empty_symint({net.states(), batch, size}, x.options());
}

Three sequence_meta(const Recurrence& net, const Tensor& x, const RecurrentState& first,
                    bool batch_first) {
  const auto shape = check_sequence<c10::SymInt>(net, x, first, batch_first, at::kMeta);
  const int64_t width = net.directions() * net.output_size();
  return arranged(at::empty_symint({shape.steps, shape.batch, width}, x.options()),
                  empty_state(net, shape.batch, net.output_size(), x),
                  empty_state(net, shape.batch, net.shape.hidden_size, x), shape.batched,
                  batch_first);
}

Three sequence(const Recurrence& net, const Tensor& x, const RecurrentState& first,
               bool batch_first) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto shape = check_sequence<int64_t>(net, x, first, batch_first, at::kCPU);
  const bool swap = shape.batched && batch_first;
  const Tensor rows = (swap ? x.transpose(0, 1) : x)
                          .contiguous()
                          .view({shape.steps * shape.batch, net.shape.input_size});
  // An empty batch may have any number of steps.
  const int64_t steps = shape.batch == 0 ? 1 : shape.steps;
  at::DimVector offsets;
  for (int64_t t = 0; t <= steps; ++t) offsets.push_back(t * shape.batch);
  const States states(net, shape.batch, first);
  const Tensor y = run_recurrence(net, rows, offsets, states.h, states.c);
  return arranged(y.view({shape.steps, shape.batch, y.size(1)}), states.h, states.c, shape.batched,
                  batch_first);
}

Three packed_meta(const Recurrence& net, const PackedSequence& x, const RecurrentState& first) {
  const auto batch = check_packed_sequence<c10::SymInt>(net, x, first, at::kMeta);
  const int64_t width = net.directions() * net.output_size();
  return {at::empty_symint({x.data.sym_size(0), width}, x.data.options()),
          empty_state(net, batch, net.output_size(), x.data),
          empty_state(net, batch, net.shape.hidden_size, x.data)};
}

Three packed(const Recurrence& net, const PackedSequence& x, const RecurrentState& first) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const int64_t batch = check_packed_sequence<int64_t>(net, x, first, at::kCPU);
  const at::DimVector offsets = check_batch_sizes(net, x.batch_sizes, x.data.size(0), batch);
  const States states(net, batch, first);
  return {run_recurrence(net, x.data.contiguous(), offsets, states.h, states.c), states.h,
          states.c};
}

Two cell_meta(const Recurrence& net, const Tensor& x, const RecurrentState& state) {
  const auto shape = check_cell<c10::SymInt>(net, x, state, at::kMeta);
  const auto next = [&] {
    const c10::SymInt size = net.shape.hidden_size;
    return shape.batched ? at::empty_symint({shape.batch, size}, x.options())
                         : at::empty_symint({size}, x.options());
  };
  return {next(), next()};
}

Two cell(const Recurrence& net, const Tensor& x, const RecurrentState& state) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto shape = check_cell<int64_t>(net, x, state, at::kCPU);
  const States states(net, shape.batch, state);
  const Tensor rows = x.contiguous().view({shape.batch, net.shape.input_size});
  run_recurrence(net, rows, {0, shape.batch}, states.h, states.c);
  const at::DimVector sizes = shape.batched ? at::DimVector{shape.batch, net.shape.hidden_size}
                                            : at::DimVector{net.shape.hidden_size};
  return {states.h.view(sizes), states.c.defined() ? states.c.view(sizes) : states.c};
}

Two without_c(const Three& outputs) { return {std::get<0>(outputs), std::get<1>(outputs)}; }

}  // namespace

Three lstm(const Tensor& x, const RecurrentState& first, const RecurrentWeights& weights,
           const RecurrentShape& shape, bool batch_first) {
  return sequence({"lstm", Cell::kLstm, weights, shape}, x, first, batch_first);
}

Three lstm_data(const PackedSequence& x, const RecurrentState& first,
                const RecurrentWeights& weights, const RecurrentShape& shape) {
  return packed({"lstm", Cell::kLstm, weights, shape}, x, first);
}

Two gru(const Tensor& x, const RecurrentState& first, const RecurrentWeights& weights,
        const RecurrentShape& shape, bool batch_first) {
  return without_c(sequence({"gru", Cell::kGru, weights, shape}, x, first, batch_first));
}

Two gru_data(const PackedSequence& x, const RecurrentState& first, const RecurrentWeights& weights,
             const RecurrentShape& shape) {
  return without_c(packed({"gru", Cell::kGru, weights, shape}, x, first));
}

Two lstm_cell(const Tensor& x, const RecurrentState& state, const RecurrentWeights& weights,
              const RecurrentShape& shape) {
  return cell({"lstm_cell", Cell::kLstm, weights, shape}, x, state);
}

Tensor gru_cell(const Tensor& x, const RecurrentState& state, const RecurrentWeights& weights,
                const RecurrentShape& shape) {
  return std::get<0>(cell({"gru_cell", Cell::kGru, weights, shape}, x, state));
}

Tensor rnn_tanh_cell(const Tensor& x, const RecurrentState& state, const RecurrentWeights& weights,
                     const RecurrentShape& shape) {
  return std::get<0>(cell({"rnn_tanh_cell", Cell::kRnnTanh, weights, shape}, x, state));
}

Tensor rnn_relu_cell(const Tensor& x, const RecurrentState& state, const RecurrentWeights& weights,
                     const RecurrentShape& shape) {
  return std::get<0>(cell({"rnn_relu_cell", Cell::kRnnRelu, weights, shape}, x, state));
}

namespace {

// The ops of the schemas. kSequence, kPacked, kCell: sequence, packed and cell, or those for Meta.
template <auto kSequence>
Three lstm_op(const Tensor& x, const OptionalTensor& h0, const OptionalTensor& c0,
              TensorList weights, TensorList weight_scales, TensorList biases, int64_t input_size,
              int64_t hidden_size, int64_t proj_size, int64_t num_layers, bool bidirectional,
              bool batch_first) {
  return kSequence({"lstm",
                    Cell::kLstm,
                    {weights, weight_scales, biases},
                    {input_size, hidden_size, proj_size, num_layers, bidirectional}},
                   x, {h0, c0}, batch_first);
}

template <auto kPacked>
Three lstm_data_op(const Tensor& data, const Tensor& batch_sizes, const Tensor& h0,
                   const Tensor& c0, TensorList weights, TensorList weight_scales,
                   TensorList biases, int64_t input_size, int64_t hidden_size, int64_t proj_size,
                   int64_t num_layers, bool bidirectional) {
  return kPacked({"lstm",
                  Cell::kLstm,
                  {weights, weight_scales, biases},
                  {input_size, hidden_size, proj_size, num_layers, bidirectional}},
                 {data, batch_sizes}, {h0, c0});
}

template <auto kSequence>
Two gru_op(const Tensor& x, const OptionalTensor& h0, TensorList weights, TensorList weight_scales,
           TensorList biases, int64_t input_size, int64_t hidden_size, int64_t num_layers,
           bool bidirectional, bool batch_first) {
  return without_c(kSequence({"gru",
                              Cell::kGru,
                              {weights, weight_scales, biases},
                              {input_size, hidden_size, 0, num_layers, bidirectional}},
                             x, {h0}, batch_first));
}

template <auto kPacked>
Two gru_data_op(const Tensor& data, const Tensor& batch_sizes, const Tensor& h0, TensorList weights,
                TensorList weight_scales, TensorList biases, int64_t input_size,
                int64_t hidden_size, int64_t num_layers, bool bidirectional) {
  return without_c(kPacked({"gru",
                            Cell::kGru,
                            {weights, weight_scales, biases},
                            {input_size, hidden_size, 0, num_layers, bidirectional}},
                           {data, batch_sizes}, {h0}));
}

template <auto kCell>
Two lstm_cell_op(const Tensor& x, const OptionalTensor& h, const OptionalTensor& c,
                 TensorList weights, TensorList weight_scales, TensorList biases,
                 int64_t input_size, int64_t hidden_size) {
  return kCell(
      {"lstm_cell", Cell::kLstm, {weights, weight_scales, biases}, {input_size, hidden_size}}, x,
      {h, c});
}

struct SimpleCell {
  const char* op;
  Cell cell;
};
constexpr SimpleCell kGruCell{"gru_cell", Cell::kGru};
constexpr SimpleCell kTanhCell{"rnn_tanh_cell", Cell::kRnnTanh};
constexpr SimpleCell kReluCell{"rnn_relu_cell", Cell::kRnnRelu};

template <auto kCell, const SimpleCell& kKind>
Tensor simple_cell_op(const Tensor& x, const OptionalTensor& h, TensorList weights,
                      TensorList weight_scales, TensorList biases, int64_t input_size,
                      int64_t hidden_size) {
  return std::get<0>(kCell(
      {kKind.op, kKind.cell, {weights, weight_scales, biases}, {input_size, hidden_size}}, x, {h}));
}

template <auto kSequence, auto kPacked, auto kCell>
void register_ops(torch::Library& m) {
  m.impl("lstm", TORCH_FN(lstm_op<kSequence>));
  m.impl("lstm.data", TORCH_FN(lstm_data_op<kPacked>));
  m.impl("gru", TORCH_FN(gru_op<kSequence>));
  m.impl("gru.data", TORCH_FN(gru_data_op<kPacked>));
  m.impl("lstm_cell", TORCH_FN(lstm_cell_op<kCell>));
  m.impl("gru_cell", TORCH_FN((simple_cell_op<kCell, kGruCell>)));
  m.impl("rnn_tanh_cell", TORCH_FN((simple_cell_op<kCell, kTanhCell>)));
  m.impl("rnn_relu_cell", TORCH_FN((simple_cell_op<kCell, kReluCell>)));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { register_ops<sequence, packed, cell>(m); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { register_ops<sequence_meta, packed_meta, cell_meta>(m); }

}  // namespace qnative::ops
