#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qnative/export.h"

// Moves TorchScript models of PyTorch's old quantization (quantized:: ops, quantized tensors,
// packed parameters in custom classes) to qnative:: ops over plain tensors.
//
// First the model is frozen: in evaluation mode, with submodules inlined into methods and
// parameters as constants, except attributes that a method writes. Every 8-bit value becomes a
// plain uint8 or int8 tensor; its scale and zero point become constants. The result loads with
// libqnative alone and needs no quantized dtype.
//
//   const auto result = qnative::migrate("old.pt", "new.pt");  // throws if a node cannot be moved
//
// Any number of threads may migrate at the same time, but none may change a module meanwhile.
// Needs a torch that still has the classes of the packed parameters and an engine that can read
// them.
namespace qnative {

struct MigrateOptions {
  // Also quantizes float nodes with constant weights: linear layers, lstm and gru get int8 weights,
  // lstm_cell, gru_cell and rnn cells float16 ones, embedding and embedding_bag 8-bit tables.
  bool dynamic = false;
  // kChar or kHalf: the dtype of all weights that `dynamic` quantizes, except tables. By default
  // cells get float16: a cell is called once per step, and its rounding errors add up in the state
  // that the caller keeps.
  std::optional<at::ScalarType> dynamic_dtype = std::nullopt;
  // Keep nodes that cannot be moved, instead of throwing an error that lists them.
  bool allow_partial = false;
  // Arguments of one call of forward, to compare the outputs of the model before and after.
  std::optional<std::vector<c10::IValue>> inputs = std::nullopt;
};

// The result for a node.
enum class MigrationVerdict : int64_t {
  MOVED = 0,  // a qnative op runs it
  FLOAT = 1,  // MigrateOptions::dynamic could not quantize it
  KEPT = 2,   // it cannot be moved and was not changed
};

// "moved", "float", "kept".
QNATIVE_API const char* toString(MigrationVerdict verdict);

struct MigrationRow {
  std::string method;  // "forward"
  std::string node;    // name of the first output
  std::string op;      // "quantized::conv2d_relu"
  MigrationVerdict verdict;
  std::string kernel;  // the op that runs it now: "qnative::conv2d"
  std::string reason;  // why it was not moved
  std::string source;  // "file.py:12", if the file has it
};

// Over all elements of all tensors that forward returns.
struct OutputDifference {
  double max = 0;
  double mean = 0;
  int64_t elements = 0;
};

struct Migration {
  torch::jit::Module module;
  std::vector<MigrationRow> rows;  // in the order of the nodes; untouched float nodes have none
  std::optional<OutputDifference> difference;

  // No row is KEPT.
  QNATIVE_API bool complete() const;
};

// Does not change `module`. Throws c10::Error with the nodes that cannot be moved, their place in
// the source and the reasons, unless allow_partial; also for a module that cannot be frozen and for
// inputs that the module rejects.
QNATIVE_API Migration migrate(const torch::jit::Module& module, const MigrateOptions& options = {});

// The same from file to file. Writes `new_path` only when the result is complete; it may equal
// `path`. Also throws for a file that is not TorchScript; all errors have the name of the file.
QNATIVE_API Migration migrate(const std::string& path, const std::string& new_path,
                              const MigrateOptions& options = {});

}  // namespace qnative
