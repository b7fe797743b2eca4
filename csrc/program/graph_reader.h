#pragma once

#include <set>
#include <string>

#include "argument.h"
#include "calls.h"
#include "graph.h"
#include "json.h"

namespace qnative::program {

// Reads a Graph of the export schema. Errors name the node.
class GraphReader {
 public:
  // `missing`: gets the operators that no loaded library has.
  explicit GraphReader(std::set<std::string>& missing) : missing_(missing) {}

  // Inputs come first, in the order of their slots.
  Values& values() { return values_; }
  // The next input: a value that a run is given.
  Slot add_input(const std::string& name, ValueKind kind);

  void read_nodes(const json::Value& graph);

  // A node writes into a constant: a buffer that changes in place.
  bool writes_constants() const { return writes_constants_; }

  // The nodes and the values that they free: all but `outputs` and those in `keep`.
  Graph finish(std::vector<Argument> outputs, const std::vector<Slot>& keep = {});

 private:
  void read_node(const json::Value& node);
  std::unique_ptr<Call> read_operator(const json::Value& node);
  std::unique_ptr<Call> read_higher_order(const json::Value& node, std::string_view name);
  // The whole of a nested graph: inputs, nodes and outputs.
  Graph read_nested(const json::Value& graph, bool reads_constants);
  void follow_aliases(const c10::FunctionSchema& schema, const std::vector<Argument>& arguments,
                      const std::vector<Return>& returns);
  bool may_be_constant(const Argument& argument) const;
  void mark(Slot slot);
  std::vector<Argument> match(const c10::FunctionSchema& schema, const json::Value& node) const;
  std::vector<Return> define_outputs(const json::Value& node);

  std::set<std::string>& missing_;
  Values values_;
  Graph graph_;
  std::vector<bool> may_be_constant_;  // by slot: memory of a constant, under another name
  bool writes_constants_ = false;
};

}  // namespace qnative::program
