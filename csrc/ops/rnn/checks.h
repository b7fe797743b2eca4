#pragma once

#include <ATen/ATen.h>

#include "rnn/recurrence.h"

// Checks of the recurrent ops. Int is int64_t in CPU functions and c10::SymInt in Meta functions.
namespace qnative::ops {

template <class Int>
struct SequenceShape {
  Int steps, batch;
  bool batched;  // else x has no dimension for the batch, which is 1
};

// x: [T, B, input_size], [B, T, input_size] or [T, input_size].
template <class Int>
SequenceShape<Int> check_sequence(const Recurrence& net, const at::Tensor& x,
                                  const RecurrentState& first, bool batch_first,
                                  at::DeviceType device);

// x.data: [rows, input_size], x.batch_sizes: int64 [T], whose values check_batch_sizes() looks at.
// Returns the batch.
template <class Int>
Int check_packed_sequence(const Recurrence& net, const PackedSequence& x,
                          const RecurrentState& first, at::DeviceType device);

// Positive, not increasing, beginning with batch and adding up to rows. Returns the offsets of the
// steps: sums of the first ones.
at::DimVector check_batch_sizes(const Recurrence& net, const at::Tensor& batch_sizes, int64_t rows,
                                int64_t batch);

// x: [B, input_size] or [input_size].
template <class Int>
SequenceShape<Int> check_cell(const Recurrence& net, const at::Tensor& x,
                              const RecurrentState& state, at::DeviceType device);

}  // namespace qnative::ops
