#include "graph.h"

#include <ATen/ScalarOps.h>

#include <algorithm>
#include <chrono>

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

int64_t bytes_of(const IValue& value) {
  if (value.isTensor()) {
    return value.toTensor().defined() ? static_cast<int64_t>(value.toTensor().nbytes()) : 0;
  }
  int64_t sum = 0;
  if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector())
      sum += static_cast<int64_t>(tensor.nbytes());
  }
  return sum;
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
      return frame[slot];
    case Kind::kWrappedNumber:
      return wrapped_number(frame[slot]);
    case Kind::kFloat: {
      return frame[slot].toScalar().toDouble();
    }
    case Kind::kList:
      return list(element, elements, frame);
  }
  fail("unknown kind of an argument");
}

template <class Step>
void Graph::run_nodes(Frame& frame, const Step& step) const {
  const Node* running = nodes.data();
  try {
    for (const Node& node : nodes) {
      running = &node;
      step(node);
      for (const Slot slot : node.frees) frame[slot] = IValue();
    }
  } catch (c10::Error& error) {
    error.add_context(c10::str("in node '", running->name, "' (", running->target, ")"));
    throw;
  }
}

void Graph::plan() {
  for (const Node& node : nodes) {
    within([&] { return c10::str("node '", node.name, "' (", node.target, ")"); },
           [&] { node.call->plan(); });
  }
  find_views();
}

void Graph::find_views() {
  std::vector<bool> is_seen(static_cast<size_t>(slots), false);
  const auto see = [&](const Argument& argument) {
    if (argument.slot != kNoSlot) is_seen[static_cast<size_t>(argument.slot)] = true;
    for (const Argument& each : argument.elements) {
      if (each.slot != kNoSlot) is_seen[static_cast<size_t>(each.slot)] = true;
    }
  };
  for (const Argument& output : outputs) see(output);
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const bool result_is_seen = std::any_of(
        node->outputs.begin(), node->outputs.end(),
        [&](Slot slot) { return slot != kNoSlot && is_seen[static_cast<size_t>(slot)]; });
    if (!result_is_seen) node->call->need_no_view();
    if (!node->call->sees_views()) continue;
    for (const Argument& argument : node->call->arguments()) see(argument);
  }
}

void Graph::run(Frame& frame) const {
  run_nodes(frame, [&](const Node& node) { node.call->run(frame); });
}

void Graph::profile(Frame& frame, std::vector<Cost>& costs) const {
  using Clock = std::chrono::steady_clock;
  costs.resize(nodes.size());
  run_nodes(frame, [&](const Node& node) {
    const PlannedOp::Work work = node.call->work(frame);
    const auto start = Clock::now();
    node.call->run(frame);
    const std::chrono::duration<double, std::micro> time = Clock::now() - start;
    Cost& cost = costs[static_cast<size_t>(&node - nodes.data())];
    cost.us = std::min(cost.us, time.count());
    cost.work = work;
    cost.bytes = 0;
    for (const Argument& argument : node.call->arguments()) {
      if (argument.kind != Argument::Kind::kWrappedNumber)
        cost.bytes += bytes_of(argument.value(frame));
    }
    for (const Slot slot : node.outputs) cost.bytes += bytes_of(frame[slot]);
  });
}

}  // namespace qnative::program
