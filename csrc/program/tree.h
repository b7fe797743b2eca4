#pragma once

#include <ATen/core/ivalue.h>

#include <functional>
#include <string>
#include <vector>

#include "json.h"

namespace qnative::program {

// The structure of inputs or outputs, a TreeSpec of torch.utils._pytree. None is a leaf.
// Named tuples and classes that are registered in Python are tuples here, deques are lists.
struct Tree {
  enum class Kind { kLeaf, kTuple, kList, kDict };

  Kind kind = Kind::kLeaf;
  std::vector<c10::IValue> keys;    // of a dict: strings or integers
  std::vector<std::string> fields;  // of a named tuple
  std::vector<Tree> children;
  size_t leaves = 1;

  // `spec`: what torch.utils._pytree.treespec_dumps writes; `named_tuples`: the names of fields by
  // the name of the class.
  static Tree parse(const std::string& spec, const json::Value& named_tuples);

  // Appends the leaves of `value`. Throws where `value` has another structure; `path` is what the
  // message calls it.
  void flatten(const c10::IValue& value, const std::string& path,
               std::vector<c10::IValue>& leaves) const;

  // Builds the structure of leaves that next() gives.
  c10::IValue unflatten(const std::function<c10::IValue()>& next) const;

  // Appends "path['key'][0]" for each leaf, as Python writes it.
  void paths(const std::string& path, std::vector<std::string>& result) const;
};

}  // namespace qnative::program
