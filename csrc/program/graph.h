#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "qnative/planned.h"

// A graph of torch.export as it runs: every value has a slot, every node a call that reads slots
// and constants and writes slots.
namespace qnative::program {

using Slot = int32_t;
constexpr Slot kNoSlot = -1;

// What a view of a tensor of one dtype and layout is.
struct View {
  at::ScalarType dtype = at::kFloat;
  at::DimVector x_sizes, x_strides;
  at::DimVector sizes, strides;
  int64_t offset = 0;  // from the first element of x
  bool is_known = false;
};

// The values of one run of a graph.
struct Frame {
  std::vector<c10::IValue> slots;
  torch::jit::Stack stack;  // of boxed calls
  std::vector<View> views;  // of the last run, by slot

  c10::IValue& operator[](Slot slot) { return slots[static_cast<size_t>(slot)]; }
  const c10::IValue& operator[](Slot slot) const { return slots[static_cast<size_t>(slot)]; }
};

// An argument of a call: a constant, a slot, or a list of those.
struct Argument {
  enum class Kind : uint8_t {
    kConstant,
    kSlot,
    kWrappedNumber,  // a slot with a number where a tensor is wanted
    kFloat,          // a slot with an integer where a float is wanted
    kList,
  };
  // The type of the elements of a list.
  enum class Element : uint8_t { kTensor, kOptionalTensor, kInt, kFloat, kBool, kString };

  Kind kind = Kind::kConstant;
  Element element = Element::kTensor;
  Slot slot = kNoSlot;
  c10::IValue constant;
  std::vector<Argument> elements;

  c10::IValue value(const Frame& frame) const;
  bool is_constant() const { return kind == Kind::kConstant; }
};

// The tensor that PyTorch makes of a number: 0-d, and of no weight in type promotion.
c10::IValue wrapped_number(const c10::IValue& number);

class Call {
 public:
  explicit Call(std::vector<Argument> arguments) : arguments_(std::move(arguments)) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual void run(Frame& frame) const = 0;

  // Before the first run, where no constant will change: may compute what follows from them.
  virtual void plan() {}

  // What a run on the frame computes, as far as it is known.
  virtual PlannedOp::Work work(const Frame& /*frame*/) const { return {}; }

  // Whether it could tell views that PyTorch tracks from other tensors on the same memory.
  virtual bool sees_views() const { return true; }
  // Its result is read by calls that do not: it may be a plain tensor.
  virtual void need_no_view() {}

  const std::vector<Argument>& arguments() const { return arguments_; }

 protected:
  std::vector<Argument> arguments_;
};

struct Node {
  std::string name;
  std::string target;  // "torch.ops.aten.relu.default"
  std::unique_ptr<Call> call;
  std::vector<Slot> outputs;
  std::vector<Slot> frees;  // slots that nobody reads after this node
};

struct Graph {
  Slot slots = 0;
  std::vector<Slot> inputs;
  std::vector<Argument> outputs;
  std::vector<Node> nodes;

  // Plans the calls. An error names the node.
  void plan();

  // Runs the nodes on a frame whose input slots are set. An error names the node.
  void run(Frame& frame) const;

  // The same, and what each node takes: `costs` gets the least of its time and the present one.
  struct Cost {
    double us = std::numeric_limits<double>::infinity();
    int64_t bytes = 0;  // of the tensors that it reads and writes
    PlannedOp::Work work;
  };
  void profile(Frame& frame, std::vector<Cost>& costs) const;

 private:
  void find_views();

  template <class Step>
  void run_nodes(Frame& frame, const Step& step) const;
};

}  // namespace qnative::program
