#include "tree.h"

#include <algorithm>

#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

using c10::IValue;

IValue read_key(const json::Value& key) {
  if (const auto* name = std::get_if<std::string>(&key.data)) return *name;
  if (const auto* number = std::get_if<int64_t>(&key.data)) return *number;
  fail("key ", key.describe(), " of a dict: only strings and integers are supported");
}

// The context of a dict is a list of its keys, that of a defaultdict holds one.
std::vector<IValue> read_keys(const json::Value& context, bool is_default_dict) {
  std::vector<IValue> keys;
  for (const json::Value& key :
       array(is_default_dict ? member(context, "dict_context") : context)) {
    keys.push_back(read_key(key));
  }
  return keys;
}

Tree read_tree(const json::Value& spec, const json::Value& named_tuples) {
  Tree tree;
  const json::Value& type = member(spec, "type");
  if (std::holds_alternative<std::monostate>(type.data)) return tree;
  const std::string& name = text(type);
  const std::string& context = text(spec, "context");
  tree.kind = Tree::Kind::kTuple;
  if (name == "builtins.list" || name == "collections.deque") {
    tree.kind = Tree::Kind::kList;
  } else if (name == "builtins.dict" || name == "collections.OrderedDict" ||
             name == "collections.defaultdict") {
    tree.kind = Tree::Kind::kDict;
    tree.keys = read_keys(parse(context), name == "collections.defaultdict");
  } else if (name == "collections.namedtuple") {
    if (const json::Value* fields = find(named_tuples, context)) {
      for (const json::Value& field : array(*fields, "field_names")) {
        tree.fields.push_back(text(field));
      }
    }
  }
  tree.leaves = 0;
  for (const json::Value& child : array(spec, "children_spec")) {
    tree.children.push_back(read_tree(child, named_tuples));
    tree.leaves += tree.children.back().leaves;
  }
  if (tree.kind == Tree::Kind::kDict && tree.keys.size() != tree.children.size()) {
    fail("a dict of ", tree.keys.size(), " keys and ", tree.children.size(), " values");
  }
  return tree;
}

std::string quoted_key(const IValue& key) {
  return key.isString() ? c10::str("['", key.toStringRef(), "']") : c10::str("[", key.toInt(), "]");
}

std::string child_path(const Tree& tree, size_t i, const std::string& path) {
  if (tree.kind == Tree::Kind::kDict) return path + quoted_key(tree.keys[i]);
  if (i < tree.fields.size()) return c10::str(path, ".", tree.fields[i]);
  return c10::str(path, "[", i, "]");
}

void check_count(const std::string& path, const char* type, size_t wanted, size_t got) {
  if (got != wanted) fail("input '", path, "': wanted a ", type, " of ", wanted, ", got ", got);
}

// The children of `value` in the order of `tree`.
std::vector<IValue> children_of(const Tree& tree, const IValue& value, const std::string& path) {
  std::vector<IValue> children;
  if (tree.kind == Tree::Kind::kDict && value.isGenericDict()) {
    const auto& dict = value.toGenericDict();
    check_count(path, "dict", tree.keys.size(), dict.size());
    for (const IValue& key : tree.keys) {
      const auto found = dict.find(key);
      if (found == dict.end()) fail("input '", path, "' has no key ", quoted_key(key));
      children.push_back(found->value());
    }
  } else if (tree.kind == Tree::Kind::kTuple && value.isTuple()) {
    children = value.toTupleRef().elements().vec();
    check_count(path, "tuple", tree.children.size(), children.size());
  } else if (tree.kind == Tree::Kind::kList && value.isList()) {
    children = value.toList().vec();
    check_count(path, "list", tree.children.size(), children.size());
  } else {
    const char* wanted = tree.kind == Tree::Kind::kDict    ? "a dict"
                         : tree.kind == Tree::Kind::kTuple ? "a tuple"
                                                           : "a list";
    fail("input '", path, "': wanted ", wanted, ", got ", value.tagKind());
  }
  return children;
}

bool are_tensors(const std::vector<IValue>& values) {
  return std::all_of(values.begin(), values.end(), [](const IValue& v) { return v.isTensor(); });
}

c10::TypePtr element_type(const std::vector<IValue>& values) {
  return are_tensors(values) ? c10::TypePtr(c10::TensorType::get()) : c10::AnyType::get();
}

}  // namespace

Tree Tree::parse(const std::string& spec, const json::Value& named_tuples) {
  const json::Value parsed = program::parse(spec);
  const json::Array& parts = array(parsed);
  if (parts.size() != 2 || integer(parts[0]) != 1) fail("unknown version of a TreeSpec");
  return read_tree(parts[1], named_tuples);
}

void Tree::flatten(const IValue& value, const std::string& path,
                   std::vector<IValue>& result) const {
  if (kind == Kind::kLeaf) {
    result.push_back(value);
    return;
  }
  const std::vector<IValue> values = children_of(*this, value, path);
  for (size_t i = 0; i < children.size(); ++i) {
    children[i].flatten(values[i], child_path(*this, i, path), result);
  }
}

IValue Tree::unflatten(const std::function<IValue()>& next) const {
  if (kind == Kind::kLeaf) return next();
  std::vector<IValue> values;
  values.reserve(children.size());
  for (const Tree& child : children) values.push_back(child.unflatten(next));
  if (kind == Kind::kTuple) return c10::ivalue::Tuple::create(std::move(values));
  if (kind == Kind::kList) {
    c10::impl::GenericList list(element_type(values));
    for (IValue& value : values) list.push_back(std::move(value));
    return list;
  }
  const bool has_names = keys.empty() || keys[0].isString();
  c10::impl::GenericDict dict(
      has_names ? c10::TypePtr(c10::StringType::get()) : c10::IntType::get(), element_type(values));
  for (size_t i = 0; i < keys.size(); ++i) dict.insert(keys[i], std::move(values[i]));
  return dict;
}

void Tree::paths(const std::string& path, std::vector<std::string>& result) const {
  if (kind == Kind::kLeaf) result.push_back(path);
  for (size_t i = 0; i < children.size(); ++i) {
    children[i].paths(child_path(*this, i, path), result);
  }
}

}  // namespace qnative::program
