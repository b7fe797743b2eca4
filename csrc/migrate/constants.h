#pragma once

#include <torch/csrc/jit/api/module.h>

namespace qnative::migration {

// Makes tensors that the methods of `module` only read constants of the graphs, which must be
// inlined.
//
// torch's freezing keeps every attribute that may be written. It takes an in-place op on a tensor
// from a list (a chunk, in every traced recurrent cell) for an op on any tensor in any list, such
// as the weights of an LSTM.
void insert_constants(const torch::jit::Module& module);

}  // namespace qnative::migration
