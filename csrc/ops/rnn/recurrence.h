#pragma once

#include <ATen/ATen.h>

#include <cstdint>

// Recurrent layers over a whole sequence, on checked tensors.
namespace qnative::ops {

enum class Cell : uint8_t { kLstm, kGru, kRnnTanh, kRnnRelu };

// Weights of a layer and direction: ih, hh and, with proj_size, hr. Biases: ih, hh. One layer after
// the other, the reverse direction of a layer after the forward one.
struct Recurrence {
  const char* op;  // the name after qnative::, for messages
  Cell cell;
  int64_t input_size, hidden_size, proj_size, num_layers;
  bool bidirectional;
  at::TensorList weights, weight_scales, biases;

  int64_t gates() const { return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1; }
  // The gate whose tanh the next state moves to, or -1.
  int64_t candidate() const { return cell == Cell::kLstm || cell == Cell::kGru ? 2 : -1; }
  int64_t directions() const { return bidirectional ? 2 : 1; }
  // Of one direction.
  int64_t output_size() const { return proj_size > 0 ? proj_size : hidden_size; }
  int64_t weights_per_direction() const { return proj_size > 0 ? 3 : 2; }
};

// Steps of a sequence of which step t is the rows [offsets[t], offsets[t + 1]) of a matrix. Fewer
// rows than in the step before are its first ones.
using Steps = at::IntArrayRef;

// x: float32 [rows, input_size], dense. h: [layers * directions, batch, output_size] and c: [layers
// * directions, batch, hidden_size] (kLstm only) are the first states, which become the last ones.
// Returns the states of the last layer at every step, [rows, directions * output_size].
at::Tensor run_recurrence(const Recurrence& net, const at::Tensor& x, Steps offsets,
                          const at::Tensor& h, const at::Tensor& c);

}  // namespace qnative::ops
