#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "graph.h"
#include "json.h"
#include "sizes.h"
#include "tree.h"

namespace qnative::program {

// An input of the program: a leaf of its arguments.
struct Input {
  enum class Kind : uint8_t { kTensor, kInt, kConstant };
  // A size of a tensor: a number, or a variable of Sizes.
  struct Size {
    int64_t number = 0;
    int64_t variable = -1;
  };

  std::string name;  // "x", or "d['a']" inside an argument
  Kind kind = Kind::kTensor;
  Slot slot = kNoSlot;
  at::ScalarType dtype = at::kFloat;
  std::vector<Size> sizes;  // of a tensor; of an integer, one: its value
  c10::IValue constant;     // the value that the program was exported with

  // "size 0 of input 'x'", for messages.
  std::string source(size_t i) const;
};

// An output: a leaf of the result.
struct Output {
  enum class Kind : uint8_t { kTensor, kNumber, kConstant };

  Kind kind = Kind::kTensor;
  c10::IValue constant;
};

struct Signature {
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  Sizes sizes;
  Tree in;  // a tuple of (positional arguments, keyword arguments)
  Tree out;
  std::vector<std::string> argument_names;  // of both kinds, in the order of the leaves
  std::string in_spec, out_spec;            // the trees as torch.utils._pytree writes them

  // The values that inputs set before Sizes::check().
  struct State {
    std::vector<int64_t> values;
    std::vector<int64_t> accepted;  // the values that passed last
  };

  // Throws for inputs that the program does not take.
  void check(c10::ArrayRef<c10::IValue> given, State& state) const;

  // The leaves of the arguments of a call. Arguments that were constants may be left out.
  using Kwargs = std::unordered_map<std::string, c10::IValue>;
  std::vector<c10::IValue> flatten(const std::vector<c10::IValue>& args,
                                   const Kwargs& kwargs) const;

 private:
  void leave_out(const std::string& name, size_t count, std::vector<c10::IValue>& leaves) const;
};

}  // namespace qnative::program
