#include "graph.h"

#include <ATen/ScalarOps.h>

#include "error.h"

namespace qnative::program {
namespace {

using c10::IValue;

template <class T>
IValue list(const std::vector<Argument>& elements, const Frame& frame) {
  c10::List<T> values;
  values.reserve(elements.size());
  for (const Argument& element : elements) values.push_back(element.value(frame).to<T>());
  return values;
}

IValue list(Argument::Element type, const std::vector<Argument>& elements, const Frame& frame) {
  switch (type) {
    case Argument::Element::kTensor:
      return list<at::Tensor>(elements, frame);
    case Argument::Element::kOptionalTensor:
      return list<std::optional<at::Tensor>>(elements, frame);
    case Argument::Element::kInt:
      return list<int64_t>(elements, frame);
    case Argument::Element::kFloat:
      return list<double>(elements, frame);
    case Argument::Element::kBool:
      return list<bool>(elements, frame);
    case Argument::Element::kString:
      return list<std::string>(elements, frame);
  }
  fail("unknown type of a list");
}

}  // namespace

IValue wrapped_number(const IValue& number) {
  at::Tensor tensor = c10::scalar_to_tensor(number.toScalar());
  tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

IValue Argument::value(const Frame& frame) const {
  switch (kind) {
    case Kind::kConstant:
      return constant;
    case Kind::kSlot:
      return frame.slots[static_cast<size_t>(slot)];
    case Kind::kWrappedNumber:
      return wrapped_number(frame.slots[static_cast<size_t>(slot)]);
    case Kind::kFloat: {
      return frame.slots[static_cast<size_t>(slot)].toScalar().toDouble();
    }
    case Kind::kList:
      return list(element, elements, frame);
  }
  fail("unknown kind of an argument");
}

void Graph::run(Frame& frame) const {
  const Node* running = nodes.data();
  try {
    for (const Node& node : nodes) {
      running = &node;
      node.call->run(frame);
      for (const Slot slot : node.frees) frame.slots[static_cast<size_t>(slot)] = IValue();
    }
  } catch (c10::Error& error) {
    error.add_context(c10::str("in node '", running->name, "' (", running->target, ")"));
    throw;
  }
}

}  // namespace qnative::program
