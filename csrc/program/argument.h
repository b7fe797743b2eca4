#pragma once

#include <ATen/core/function_schema.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "graph.h"
#include "json.h"

namespace qnative::program {

enum class ValueKind : uint8_t { kTensor, kInt, kFloat, kBool };

// The values of a graph by name, while it is read.
class Values {
 public:
  // A value that is not known before the run. A name is defined once.
  Slot define(const std::string& name, ValueKind kind);
  // A weight, buffer or constant.
  void define(const std::string& name, at::Tensor constant);

  Argument use(const std::string& name) const;
  ValueKind kind(Slot slot) const { return kinds_[static_cast<size_t>(slot)]; }
  Slot count() const { return static_cast<Slot>(kinds_.size()); }

 private:
  std::unordered_map<std::string, Argument> arguments_;
  std::vector<ValueKind> kinds_;
};

// An Argument of the export schema. Lists have no type yet: adapt() or of_tensors() gives it.
Argument read_argument(const json::Value& argument, const Values& values);

// Makes of an argument what a schema wants: numbers become tensors, integers floats, one number a
// list of several. Throws where that cannot be.
void adapt(Argument& argument, const c10::Argument& formal, const Values& values);

}  // namespace qnative::program
