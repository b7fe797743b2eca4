#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "qnative/export.h"

// A Program runs a file of torch.export.save (.pt2), without Python, compiler or TorchScript:
//
//   const auto program = qnative::Program::load("model.pt2");
//   const std::vector<at::Tensor> y = program.run({x});           // tensors in, tensors out
//   const c10::IValue z = program.forward({x}, {{"mask", mask}});  // arguments of the module
//
// Threads: any number of threads may call one Program at the same time; they share its weights and
// each has its own memory for the values in between. Calls of a program that changes its buffers
// (a counter, a cache) wait for each other. Copies of a Program are the same program.
//
// Results are those of torch.export.load(path).module() in evaluation: gradients are not recorded.
namespace qnative {

namespace program {
class Executable;
}

class QNATIVE_API Program {
 public:
  using Kwargs = std::unordered_map<std::string, c10::IValue>;

  // Reads an archive of torch 2.13 to 2.15. Its weights stay in the file, which is mapped into
  // memory: processes that load one file share them. Replace the file to update it (rename), do not
  // overwrite it while it is in use. `model`: which one, where the archive has several.
  //
  // Errors: c10::ValueError with the file, and the record or node, for files that are no archive,
  // are damaged (every record has a checksum) or of another version, for operators that no loaded
  // library has, and for unsupported content: pickled weights, custom objects, other devices.
  // Operators are called as the file says: load files as you would run code.
  static Program load(const std::string& path, const std::string& model = "");

  // The same from memory, which is copied.
  static Program load(const void* data, size_t size, const std::string& model = "");

  // The inputs that are tensors, in the order of the arguments; the outputs that are tensors.
  // Errors: c10::ValueError with the input, what was wanted (dtype, sizes, ranges and equalities of
  // open sizes) and what came; errors of operators, with the name of the node.
  std::vector<at::Tensor> run(c10::ArrayRef<at::Tensor> inputs) const;
  std::vector<at::Tensor> run(std::initializer_list<at::Tensor> inputs) const {
    return run(c10::ArrayRef<at::Tensor>(inputs));
  }

  // Arguments and result with the structure of the module that was exported: tuples, lists and
  // dicts. Arguments that were constants (numbers, bools, strings, None) may be left out; other
  // values than those of the export are errors.
  c10::IValue forward(const std::vector<c10::IValue>& args, const Kwargs& kwargs = {}) const;

  // The steps, in the order in which they run.
  struct Node {
    std::string name;
    std::string target;  // "torch.ops.qnative.linear.default"
  };
  std::vector<Node> nodes() const;

  // The time of each node in run(inputs): the minimum of `rounds` runs.
  struct Cost {
    Node node;
    double us = 0;
    int64_t bytes = 0;   // of the tensors that it reads and writes
    std::string kernel;  // that takes most of its time, "gemm"; empty: one of torch, or not known
    std::string isa;     // that this machine runs it with, "avx512_vnni"
    // The least time that its products, at the speed of a large linear layer, and its bytes, at
    // that of a copy of as many, take on this machine, divided by us. Both speeds are measured at
    // the first call, in 0.1 s, for the number of threads that torch has.
    double limit = 0;
  };
  std::vector<Cost> profile(c10::ArrayRef<at::Tensor> inputs, int64_t rounds = 20) const;

  // Bytes. The first run with given sizes plans the memory of qnative's operators; later runs use
  // one buffer for each call that runs at the same time.
  struct Memory {
    int64_t weights = 0;
    int64_t arena = 0;  // of all buffers
  };
  Memory memory() const;

 private:
  friend class BoundProgram;
  std::vector<c10::IValue> leaves(c10::ArrayRef<at::Tensor> inputs) const;
  std::vector<Cost> profile_leaves(const std::vector<c10::IValue>& leaves, int64_t rounds) const;
  explicit Program(std::shared_ptr<const program::Executable> executable);

  std::shared_ptr<const program::Executable> executable_;
};

}  // namespace qnative
