#include "graph_reader.h"

#include <algorithm>

#include "calls.h"
#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

constexpr std::string_view kOps = "torch.ops.";
constexpr std::string_view kHigherOrder = "torch.ops.higher_order.";

std::vector<Slot> slots_of(const std::vector<Return>& returns) {
  std::vector<Slot> slots;
  for (const Return& result : returns) {
    if (result.slots.empty()) slots.push_back(kNoSlot);
    slots.insert(slots.end(), result.slots.begin(), result.slots.end());
  }
  return slots;
}

// aten.add.Tensor -> aten::add.Tensor
c10::OperatorName operator_name(std::string_view target) {
  const std::string_view path = target.substr(kOps.size());
  const size_t space = path.find('.'), overload = path.rfind('.');
  if (space == std::string_view::npos || space == overload) fail("the target names no operator");
  const std::string_view overload_name = path.substr(overload + 1);
  return {c10::str(path.substr(0, space), "::", path.substr(space + 1, overload - space - 1)),
          std::string(overload_name == "default" ? "" : overload_name)};
}

// (device type, dtype, enabled, cache enabled); none for devices that the program does not use.
std::optional<Autocast> read_autocast(const std::vector<std::vector<Argument>>& groups) {
  const auto setting = [&](size_t i) {
    if (groups[i].size() != 1 || !groups[i][0].is_constant()) fail("wanted constant settings");
    return groups[i][0].constant;
  };
  if (!setting(0).isString() || setting(0).toStringRef() != "cpu") return std::nullopt;
  const auto is_true = [](const c10::IValue& value, bool none) {
    return value.isBool() ? value.toBool() : none;
  };
  Autocast autocast;
  autocast.is_enabled = is_true(setting(2), true);
  autocast.has_cache = is_true(setting(3), true);
  if (setting(1).isInt()) autocast.dtype = static_cast<at::ScalarType>(setting(1).toInt());
  return autocast;
}

bool share(const c10::AliasInfo& a, const c10::AliasInfo& b) {
  return a.isWildcardBefore() || b.isWildcardBefore() ||
         std::any_of(a.beforeSets().begin(), a.beforeSets().end(),
                     [&](const auto& set) { return b.beforeSets().count(set) > 0; });
}

bool is_training(const c10::FunctionSchema& schema, const std::vector<Argument>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = schema.arguments()[i].name();
    if (name != "training" && name != "train" && name != "use_input_stats") continue;
    const c10::IValue& value = arguments[i].constant;
    return !arguments[i].is_constant() || !value.isBool() || value.toBool();
  }
  return false;
}

// The arguments of a higher-order operator, which has no schema.
struct HigherOrderArguments {
  std::vector<Graph> graphs;
  std::vector<std::vector<Argument>> groups;  // an argument, or the elements of a list
};

std::vector<Argument> flat(const std::vector<std::vector<Argument>>& groups, size_t first) {
  std::vector<Argument> arguments;
  for (size_t i = first; i < groups.size(); ++i) {
    arguments.insert(arguments.end(), groups[i].begin(), groups[i].end());
  }
  return arguments;
}

}  // namespace

Slot GraphReader::add_input(const std::string& name, ValueKind kind) {
  const Slot slot = values_.define(name, kind);
  graph_.inputs.push_back(slot);
  return slot;
}

void GraphReader::read_nodes(const json::Value& graph) {
  graph_.slots = values_.count();
  for (const json::Value& node : array(graph, "nodes")) {
    const auto where = [&] {
      const json::Value* name = find(node, "name");
      const auto* given = name == nullptr ? nullptr : std::get_if<std::string>(&name->data);
      return c10::str("node '", given == nullptr ? "" : *given, "' (", text(node, "target"), ")");
    };
    text(node, "target");
    within(where, [&] { read_node(node); });
  }
}

void GraphReader::read_node(const json::Value& node) {
  Node result;
  result.target = text(node, "target");
  if (const json::Value* name = find(node, "name")) {
    if (const auto* given = std::get_if<std::string>(&name->data)) result.name = *given;
  }
  if (result.target.starts_with(kHigherOrder)) {
    result.call =
        read_higher_order(node, std::string_view(result.target).substr(kHigherOrder.size()));
  } else if (result.target.starts_with(kOps)) {
    result.call = read_operator(node);
  } else {
    std::vector<Argument> arguments;
    for (const json::Value& input : array(node, "inputs")) {
      arguments.push_back(read_argument(member(input, "arg"), values_));
    }
    const std::vector<Slot> outputs = slots_of(define_outputs(node));
    if (outputs.size() != 1 || outputs[0] == kNoSlot) fail("wanted one output");
    result.call = make_symbol_call(result.target, std::move(arguments), outputs[0]);
    if (result.call == nullptr) fail("calls of this target are not supported");
  }
  for (Slot slot = graph_.slots; slot < values_.count(); ++slot) result.outputs.push_back(slot);
  graph_.slots = values_.count();
  graph_.nodes.push_back(std::move(result));
}

std::unique_ptr<Call> GraphReader::read_operator(const json::Value& node) {
  const c10::OperatorName name = operator_name(text(node, "target"));
  const auto op = c10::Dispatcher::singleton().findSchema(name);
  if (!op) {
    missing_.insert(c10::str(name));
    define_outputs(node);
    return nullptr;
  }
  std::vector<Argument> arguments = match(op->schema(), node);
  std::vector<Return> returns = define_outputs(node);
  if (returns.size() != op->schema().returns().size()) {
    fail("wanted ", op->schema().returns().size(), " outputs, got ", returns.size());
  }
  follow_aliases(op->schema(), arguments, returns);
  if (auto call = make_direct_call(*op, arguments, returns)) return call;
  return make_boxed_call(*op, std::move(arguments), std::move(returns));
}

bool GraphReader::may_be_constant(const Argument& argument) const {
  if (argument.kind == Argument::Kind::kConstant) {
    return argument.constant.isTensor() || argument.constant.isTensorList();
  }
  const auto slot = static_cast<size_t>(argument.slot);
  return (argument.slot != kNoSlot && slot < may_be_constant_.size() && may_be_constant_[slot]) ||
         std::any_of(argument.elements.begin(), argument.elements.end(),
                     [this](const Argument& element) { return may_be_constant(element); });
}

void GraphReader::mark(Slot slot) {
  if (slot == kNoSlot) return;
  may_be_constant_.resize(std::max(may_be_constant_.size(), static_cast<size_t>(slot) + 1));
  may_be_constant_[static_cast<size_t>(slot)] = true;
}

void GraphReader::follow_aliases(const c10::FunctionSchema& schema,
                                 const std::vector<Argument>& arguments,
                                 const std::vector<Return>& returns) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!may_be_constant(arguments[i])) continue;
    const c10::AliasInfo* alias = schema.arguments()[i].alias_info();
    // Schemas do not tell that norms in training update their statistics.
    const std::string& name = schema.arguments()[i].name();
    writes_constants_ |= name == "running_mean" && is_training(schema, arguments);
    if (alias == nullptr) continue;
    writes_constants_ |= alias->isWrite();
    for (size_t j = 0; j < returns.size(); ++j) {
      const c10::AliasInfo* result = schema.returns()[j].alias_info();
      if (result != nullptr && share(*alias, *result)) {
        for (const Slot slot : returns[j].slots) mark(slot);
      }
    }
  }
}

std::vector<Argument> GraphReader::match(const c10::FunctionSchema& schema,
                                         const json::Value& node) const {
  std::unordered_map<std::string, const json::Value*> given;
  for (const json::Value& input : array(node, "inputs")) {
    given.emplace(text(input, "name"), &member(input, "arg"));
  }
  std::vector<Argument> arguments;
  for (const c10::Argument& formal : schema.arguments()) {
    Argument argument;
    if (const auto found = given.find(formal.name()); found != given.end()) {
      argument = within([&] { return c10::str("argument '", formal.name(), "'"); },
                        [&] { return read_argument(*found->second, values_); });
      adapt(argument, formal, values_);
      given.erase(found);
    } else if (formal.default_value()) {
      argument.constant = *formal.default_value();
    } else {
      fail("argument '", formal.name(), "' is missing");
    }
    arguments.push_back(std::move(argument));
  }
  if (!given.empty()) fail("the operator has no argument '", given.begin()->first, "'");
  return arguments;
}

std::vector<Return> GraphReader::define_outputs(const json::Value& node) {
  std::vector<Return> returns;
  const auto define = [&](const json::Value& value, std::string_view key, ValueKind kind) {
    returns.back().slots.push_back(values_.define(text(value, key), kind));
  };
  for (const json::Value& output : array(node, "outputs")) {
    const auto& [kind, value] = as_union(output);
    returns.emplace_back();
    if (kind == "as_tensor") {
      define(value, "name", ValueKind::kTensor);
    } else if (kind == "as_tensors") {
      returns.back().is_list = true;
      for (const json::Value& tensor : array(value)) define(tensor, "name", ValueKind::kTensor);
    } else if (kind == "as_sym_int") {
      define(value, "as_name", ValueKind::kInt);
    } else if (kind == "as_sym_float") {
      define(value, "as_name", ValueKind::kFloat);
    } else if (kind == "as_sym_bool") {
      define(value, "as_name", ValueKind::kBool);
    } else if (kind != "as_none") {
      fail("an output of kind '", kind, "' is not supported");
    }
  }
  return returns;
}

std::unique_ptr<Call> GraphReader::read_higher_order(const json::Value& node,
                                                     std::string_view name) {
  HigherOrderArguments all;
  auto& [graphs, groups] = all;
  std::vector<const json::Value*> nested;
  bool reads_constants = false;
  for (const json::Value& input : array(node, "inputs")) {
    const json::Value& argument = member(input, "arg");
    if (const auto& [kind, value] = as_union(argument); kind == "as_graph") {
      nested.push_back(&member(value, "graph"));
      continue;
    }
    Argument read = read_argument(argument, values_);
    reads_constants |= may_be_constant(read);
    const bool is_list = read.kind == Argument::Kind::kList;
    groups.push_back(is_list ? std::move(read.elements) : std::vector<Argument>{std::move(read)});
  }
  for (const json::Value* graph : nested) graphs.push_back(read_nested(*graph, reads_constants));
  std::vector<Slot> outputs = slots_of(define_outputs(node));
  if (reads_constants) std::for_each(outputs.begin(), outputs.end(), [&](Slot s) { mark(s); });
  const auto check = [&](size_t wanted_graphs, size_t wanted_groups) {
    if (graphs.size() != wanted_graphs || groups.size() < wanted_groups) {
      fail("wanted ", wanted_graphs, " graphs and at least ", wanted_groups, " arguments, got ",
           graphs.size(), " and ", groups.size());
    }
  };
  if (name == "cond") {
    check(2, 1);
    if (groups[0].size() != 1) fail("wanted one predicate");
    return make_cond(flat(groups, 0), std::move(graphs[0]), std::move(graphs[1]),
                     std::move(outputs));
  }
  if (name == "while_loop") {
    check(2, 1);
    return make_while_loop(flat(groups, 0), groups[0].size(), std::move(graphs[0]),
                           std::move(graphs[1]), std::move(outputs));
  }
  if (name == "scan") {
    check(1, 3);
    return make_scan(flat(groups, 0), groups[0].size(), groups[1].size(), std::move(graphs[0]),
                     std::move(outputs));
  }
  if (name == "map_impl") {
    check(1, 2);
    return make_scan(flat(groups, 0), 0, groups[0].size(), std::move(graphs[0]),
                     std::move(outputs));
  }
  if (name == "wrap_with_autocast") {
    check(1, 4);
    const auto autocast = read_autocast(groups);
    return make_graph_call(flat(groups, 4), std::move(graphs[0]), std::move(outputs), autocast);
  }
  // Arguments before the operands. Gradients are not computed, whatever the mode.
  const size_t settings = name == "wrap_with_set_grad_enabled" || name == "invoke_subgraph" ? 1 : 0;
  if (settings == 1 || name == "strict_mode" || name == "tag_activation_checkpoint") {
    check(1, settings);
    return make_graph_call(flat(groups, settings), std::move(graphs[0]), std::move(outputs));
  }
  fail("this higher-order operator is not supported");
}

Graph GraphReader::read_nested(const json::Value& graph, bool reads_constants) {
  GraphReader reader(missing_);
  for (const json::Value& input : array(graph, "inputs")) {
    const auto& [kind, value] = as_union(input);
    if (kind == "as_tensor") {
      reader.add_input(text(value, "name"), ValueKind::kTensor);
    } else if (kind == "as_sym_int") {
      reader.add_input(text(value, "as_name"), ValueKind::kInt);
    } else if (kind == "as_sym_bool") {
      reader.add_input(text(value, "as_name"), ValueKind::kBool);
    } else if (kind == "as_sym_float") {
      reader.add_input(text(value, "as_name"), ValueKind::kFloat);
    } else {
      fail("an input of a nested graph of kind '", kind, "' is not supported");
    }
  }
  if (reads_constants) {
    for (const Slot slot : reader.graph_.inputs) reader.mark(slot);
  }
  reader.read_nodes(graph);
  writes_constants_ |= reader.writes_constants_;
  std::vector<Argument> outputs;
  for (const json::Value& output : array(graph, "outputs")) {
    outputs.push_back(read_argument(output, reader.values_));
  }
  return reader.finish(std::move(outputs));
}

Graph GraphReader::finish(std::vector<Argument> outputs, const std::vector<Slot>& keep) {
  std::vector<bool> is_needed(static_cast<size_t>(values_.count()), false);
  for (const Slot slot : keep) is_needed[static_cast<size_t>(slot)] = true;
  for (const Argument& output : outputs) {
    if (output.kind == Argument::Kind::kList) fail("an output of the graph is a list");
    if (output.slot != kNoSlot) is_needed[static_cast<size_t>(output.slot)] = true;
  }
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const auto use = [&](Slot slot) {
      if (slot == kNoSlot || is_needed[static_cast<size_t>(slot)]) return;
      is_needed[static_cast<size_t>(slot)] = true;
      node->frees.push_back(slot);
    };
    for (const Slot slot : node->outputs) use(slot);
    if (node->call == nullptr) continue;
    for (const Argument& argument : node->call->arguments()) {
      use(argument.slot);
      for (const Argument& element : argument.elements) use(element.slot);
    }
  }
  graph_.slots = values_.count();
  graph_.outputs = std::move(outputs);
  return std::move(graph_);
}

}  // namespace qnative::program
