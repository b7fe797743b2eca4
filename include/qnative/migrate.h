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
// The model is frozen first: in evaluation mode, with its submodules inlined into its methods and
// its parameters as constants, but for attributes that a method writes. Every 8-bit value becomes a
// plain uint8 or int8 tensor whose scale and zero point are constants of the file. What results
// loads with libqnative alone and needs no quantized dtype.
//
// This needs a torch that still has what is moved: the classes of the packed parameters, and an
// engine that can read them.
namespace qnative {

struct MigrateOptions {
  // Also quantizes float nodes with constant weights: linear layers, lstm and gru get int8 weights,
  // lstm_cell, gru_cell and rnn cells float16 ones, embedding and embedding_bag 8-bit tables.
  bool dynamic = false;
  // kChar or kHalf: of all weights that `dynamic` quantizes, but for tables. A cell is called for
  // each step, so that what the rounding of its weights and inputs does adds up in the state that
  // the caller keeps: float16 is what gives it, unless told otherwise.
  std::optional<at::ScalarType> dynamic_dtype = std::nullopt;
  // Nodes that cannot be moved stay as they are, instead of an error that lists them.
  bool allow_partial = false;
  // Arguments of one call of forward: the model before and after are run on them and compared.
  std::optional<std::vector<c10::IValue>> inputs = std::nullopt;
};

// What became of a node.
enum class MigrationVerdict : int64_t {
  MOVED = 0,  // a qnative op runs it
  FLOAT = 1,  // MigrateOptions::dynamic could not quantize it
  KEPT = 2,   // it cannot be moved, and stays as it was
};

// "moved", "float", "kept".
QNATIVE_API const char* toString(MigrationVerdict verdict);

struct MigrationRow {
  std::string method;  // "forward"
  std::string node;    // name of the first output
  std::string op;      // "quantized::conv2d_relu"
  MigrationVerdict verdict;
  std::string kernel;  // what runs it now: "qnative::conv2d"
  std::string reason;  // why it was not moved
  std::string source;  // "file.py:12", where the file tells it
};

// Of all elements of all tensors that forward returns.
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

// `module` does not change. Errors: c10::Error that names each node which cannot be moved, its
// place in the source and the reason, unless allow_partial; c10::Error for modules that cannot be
// frozen, and for inputs that the module rejects.
QNATIVE_API Migration migrate(const torch::jit::Module& module, const MigrateOptions& options = {});

// The same from file to file. `new_path` appears only when it is complete, and may be `path`
// itself. Errors also for what is no TorchScript file, all with the name of the file.
QNATIVE_API Migration migrate(const std::string& path, const std::string& new_path,
                              const MigrateOptions& options = {});

}  // namespace qnative
