#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "qnative/ops/rnn.h"

// Recurrent layers over a whole sequence, on checked tensors.
namespace qnative::ops {

enum class Cell : uint8_t { kLstm, kGru, kRnnTanh, kRnnRelu };

// An op with its arguments, but for the input and the first state.
struct Recurrence {
  const char* op;  // the name after qnative::, for messages
  Cell cell;
  RecurrentWeights weights;
  RecurrentShape shape;

  int64_t gates() const { return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1; }
  // The gate whose tanh the next state moves to, or -1.
  int64_t candidate() const { return cell == Cell::kLstm || cell == Cell::kGru ? 2 : -1; }
  int64_t directions() const { return shape.bidirectional ? 2 : 1; }
  int64_t states() const { return shape.num_layers * directions(); }
  // The size of one direction.
  int64_t output_size() const { return shape.proj_size > 0 ? shape.proj_size : shape.hidden_size; }
  int64_t weights_per_direction() const { return shape.proj_size > 0 ? 3 : 2; }
};

// Steps of a sequence: step t is the rows [offsets[t], offsets[t + 1]) of a matrix. Fewer
// rows than in the step before are its first ones.
using Steps = at::IntArrayRef;

// x: float32 [rows, input_size], dense. h: [layers * directions, batch, output_size] and c: [layers
// * directions, batch, hidden_size] (kLstm only) are the first states, which become the last ones.
// Returns the states of the last layer at every step, [rows, directions * output_size].
at::Tensor run_recurrence(const Recurrence& net, const at::Tensor& x, Steps offsets,
                          const at::Tensor& h, const at::Tensor& c);

}  // namespace qnative::ops
