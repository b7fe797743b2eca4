#include "constants.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace qnative::migration {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Use;
using torch::jit::Value;
namespace prim = c10::prim;
using ObjectPtr = c10::intrusive_ptr<c10::ivalue::Object>;

bool only_read(const Value* value);

// Nothing is written through a view either.
bool reads(const Use& use) {
  const Node* node = use.user;
  if (node->kind() != prim::ListConstruct) {
    const auto* schema = node->maybeSchema();
    if (!schema || use.offset >= schema->arguments().size()) return false;
    const auto* alias = schema->arguments()[use.offset].alias_info();
    if (!alias) return true;
    if (alias->isWrite() || alias->isWildcardAfter()) return false;
  }
  return std::all_of(node->outputs().begin(), node->outputs().end(), only_read);
}

bool only_read(const Value* value) {
  return std::all_of(value->uses().begin(), value->uses().end(), reads);
}

// The attributes that share a storage, and the nodes that read them.
struct Shared {
  std::vector<std::pair<Node*, at::Tensor>> gets;
  bool written = false;
};

class Attributes {
 public:
  // False if a module goes where this does not follow it.
  bool collect(Block* block) {
    for (Node* node : block->nodes()) {
      if (!collect(node)) return false;
    }
    return !holds_object(block->return_node());
  }

  void add_object(const Value* value, ObjectPtr object) {
    objects_.emplace(value, std::move(object));
  }

  void insert_constants() const {
    for (const auto& [key, shared] : shared_) {
      if (shared.written) continue;
      for (const auto& [node, tensor] : shared.gets) {
        const torch::jit::WithInsertPoint before(node);
        Value* constant = torch::jit::tryInsertConstant(*node->owningGraph(), tensor.detach(),
                                                        node->sourceRange(), node->scope())
                              .value_or(nullptr);
        if (constant) node->output()->replaceAllUsesWith(constant);
      }
    }
  }

 private:
  bool collect(Node* node) {
    if (node->kind() == prim::GetAttr || node->kind() == prim::SetAttr) {
      const auto found = objects_.find(node->input(0));
      if (found == objects_.end()) return false;  // of a class that is no module
      const c10::IValue value = found->second->getAttr(node->s(c10::attr::name));
      if (node->kind() == prim::SetAttr) return set(node, value);
      get(node, value);
      return true;
    }
    if (holds_object(node)) return false;
    return std::all_of(node->blocks().begin(), node->blocks().end(),
                       [this](Block* block) { return collect(block); });
  }

  void get(Node* node, const c10::IValue& value) {
    if (value.isModule()) add_object(node->output(), value.toObject());
    if (!value.isTensor() || !value.toTensor().defined()) return;
    Shared& shared = shared_[key(value.toTensor())];
    shared.gets.emplace_back(node, value.toTensor());
    shared.written = shared.written || !only_read(node->output());
  }

  bool set(const Node* node, const c10::IValue& old) {
    if (old.isTensor() && old.toTensor().defined()) shared_[key(old.toTensor())].written = true;
    return !objects_.contains(node->input(1));
  }

  bool holds_object(const Node* node) const {
    return std::any_of(node->inputs().begin(), node->inputs().end(),
                       [this](const Value* input) { return objects_.contains(input); });
  }

  static const void* key(const at::Tensor& tensor) {
    if (tensor.has_storage()) return tensor.storage().unsafeGetStorageImpl();
    return tensor.unsafeGetTensorImpl();
  }

  std::unordered_map<const Value*, ObjectPtr> objects_;
  std::unordered_map<const void*, Shared> shared_;
};

}  // namespace

void insert_constants(const torch::jit::Module& module) {
  Attributes attributes;
  for (const auto& method : module.get_methods()) {
    attributes.add_object(method.graph()->inputs()[0], module._ivalue());
    if (!attributes.collect(method.graph()->block())) return;
  }
  attributes.insert_constants();
}

}  // namespace qnative::migration
