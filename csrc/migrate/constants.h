#pragma once

#include <torch/csrc/jit/api/module.h>

namespace qnative::migration {

// Tensors that the methods of `module`, whose graphs are inlined, only read become constants of
// these graphs.
//
// torch's freezing keeps every attribute that may be written, and takes one in-place op on a tensor
// out of a list (a chunk, in each traced recurrent cell) for one on any tensor that is in a list,
// as all weights of an LSTM are.
void insert_constants(const torch::jit::Module& module);

}  // namespace qnative::migration
