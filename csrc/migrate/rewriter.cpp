#include "rewriter.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/remove_mutation.h>

#include <algorithm>
#include <cmath>

namespace qnative::migration {

using torch::jit::toIValue;
using torch::jit::WithInsertPoint;
namespace prim = c10::prim;

IntRange range_of(at::ScalarType dtype) {
  return dtype == at::kByte ? IntRange{0, 255} : IntRange{-128, 127};
}

namespace {

// Without the backtrace of a c10::Error, which does not help who migrates a file.
std::string first_line(const std::exception& error) {
  const auto* known = dynamic_cast<const c10::Error*>(&error);
  const std::string text = known ? known->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

std::string source_of(const Node* node) {
  const auto place = node->sourceRange().file_line_col();
  if (!place) return "";
  return std::get<0>(*place) + ":" + std::to_string(std::get<1>(*place));
}

bool is_tensor_list(const Value* value) {
  const auto list = value->type()->cast<c10::ListType>();
  return list && list->getElementType()->kind() == c10::TypeKind::TensorType;
}

bool never_read(const Value* value) { return value->node()->kind() == prim::Uninitialized; }

}  // namespace

bool is_old(const Node* node) {
  static const std::set<std::string> kOld = {"aten::int_repr", "aten::q_scale",
                                             "aten::q_zero_point", "aten::dequantize",
                                             "aten::_make_per_tensor_quantized_tensor"};
  const std::string kind = node->kind().toQualString();
  return kind.starts_with("quantized::") || kind.starts_with("aten::quantize") ||
         kOld.contains(kind);
}

bool is_changed(const Value* list) {
  static const std::set<std::string> kChanges = {
      "aten::append", "aten::extend",  "aten::insert", "aten::pop",  "aten::_set_item",
      "aten::clear",  "aten::reverse", "aten::remove", "aten::sort", "aten::Delete"};
  return std::any_of(list->uses().begin(), list->uses().end(), [](const torch::jit::Use& use) {
    return kChanges.contains(use.user->kind().toQualString());
  });
}

MigrationRow make_row(const std::string& method, const Node* node, Verdict verdict,
                      const std::string& kernel, const std::string& reason) {
  const std::string name = node->outputs().empty() ? "" : node->output(0)->debugName();
  return {method, name, node->kind().toQualString(), verdict, kernel, reason, source_of(node)};
}

Rewriter::Rewriter(std::string method, std::shared_ptr<Graph> graph, const MigrateOptions& options,
                   std::vector<MigrationRow>& rows)
    : method_(std::move(method)), graph_(std::move(graph)), options_(options), rows_(rows) {}

void Rewriter::run() {
  torch::jit::LowerSimpleTuples(graph_);
  // [f(x) for x in list] appends to a list.
  torch::jit::RemoveListMutation(graph_);
  block(graph_->block());
  unquantizable_results(graph_->block());
  // Users come after their inputs: destroy from the end.
  for (auto node = replaced_.rbegin(); node != replaced_.rend(); ++node) {
    if (!(*node)->hasUses()) (*node)->destroy();
  }
  torch::jit::EliminateDeadCode(graph_);
  torch::jit::ConstantPooling(graph_);
  graph_->lint();
}

std::optional<Quantized> Rewriter::find(const Value* value) const {
  const auto found = values_.find(value);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

void Rewriter::bind(Value* old, const Quantized& now) {
  const auto scale = static_cast<float>(now.qparams.scale);
  const IntRange range = range_of(now.dtype);
  if (!std::isnormal(scale) || scale < 0) {
    throw Unsupported("its scale " + std::to_string(now.qparams.scale) +
                      " is not a positive number");
  }
  if (now.qparams.zero_point < range.min || now.qparams.zero_point > range.max) {
    throw Unsupported("its zero point " + std::to_string(now.qparams.zero_point) + " is outside " +
                      c10::toString(now.dtype));
  }
  now.data->setType(is_tensor_list(old) ? c10::TypePtr(c10::ListType::ofTensors())
                                        : c10::TypePtr(c10::TensorType::get()));
  values_.insert_or_assign(old, now);
}

void Rewriter::row(const Node* node, Verdict verdict, const std::string& kernel,
                   const std::string& reason) {
  rows_.push_back(make_row(method_, node, verdict, kernel, reason));
}

bool Rewriter::holds_quantized(const Value* value) const {
  if (values_.contains(value)) return true;
  const Node* node = value->node();
  const bool container =
      node->kind() == prim::ListConstruct || node->kind() == prim::TupleConstruct;
  if (!container) return false;
  for (const Value* input : node->inputs()) {
    if (holds_quantized(input)) return true;
  }
  return false;
}

bool Rewriter::uses_quantized(const Node* node) const {
  for (const Value* input : node->inputs()) {
    if (holds_quantized(input)) return true;
  }
  return false;
}

void Rewriter::block(Block* block) {
  // Handlers insert nodes before the one they replace.
  const std::vector<Node*> nodes(block->nodes().begin(), block->nodes().end());
  for (Node* each : nodes) node(each);
}

void Rewriter::node(Node* node) {
  const auto kind = node->kind();
  if (kind == prim::Constant) return quantized_constant(node);
  if (kind == prim::If) return branches(node);
  if (kind == prim::Loop) return loop(node);
  const bool quantized = uses_quantized(node);
  if (kind == prim::ListConstruct) {
    if (quantized) list(node);
    return;
  }
  if (kind == prim::TupleConstruct) return;
  const std::string name = kind.toQualString();
  const bool only_quantized = name.starts_with("quantized::");
  if (Handler handler = find_handler(node);
      handler && (quantized || only_quantized || name.starts_with("aten::quantize"))) {
    handle(node, handler, Verdict::KEPT);
    return;
  }
  if (quantized || only_quantized) return keep(node, "qnative has no counterpart of it");
  if (!options_.dynamic) return;
  const auto found = float_handlers().find(name);
  if (found != float_handlers().end()) handle(node, found->second, Verdict::FLOAT);
}

bool Rewriter::handle(Node* node, Handler handler, Verdict otherwise) {
  const WithInsertPoint before(node);
  kernel_.clear();
  CallSite site(*this, node);
  std::string reason;
  try {
    handler(site);
    row(node, Verdict::MOVED, kernel_, "");
    replaced_.push_back(node);
    return true;
  } catch (const Unsupported& error) {
    reason = error.what();
  } catch (const std::exception& error) {
    reason = first_line(error);
  }
  if (otherwise == Verdict::KEPT) {
    keep(node, reason);
  } else {
    row(node, otherwise, "", reason);
  }
  return false;
}

// Binds a constant quantized tensor to a constant of its bytes.
void Rewriter::quantized_constant(Node* node) {
  const auto value = toIValue(node->output());
  if (!value || !value->isTensor()) return;
  const at::Tensor tensor = value->toTensor();
  if (!tensor.defined() || !tensor.is_quantized()) return;
  const bool known = tensor.qscheme() == at::kPerTensorAffine &&
                     (tensor.scalar_type() == at::kQUInt8 || tensor.scalar_type() == at::kQInt8);
  if (!known) return;
  const WithInsertPoint before(node);
  const at::Tensor bytes = tensor.int_repr();
  bind(node->output(), {graph_->insertConstant(bytes),
                        {tensor.q_scale(), tensor.q_zero_point()},
                        bytes.scalar_type()});
}

// A list of tensors with the same scale and zero point becomes a list of their data. Other lists
// have no counterpart; their users (cat) read the elements from the node.
void Rewriter::list(Node* node) {
  if (is_changed(node->output())) return;
  std::vector<Value*> data;
  std::optional<Quantized> first;
  for (Value* input : node->inputs()) {
    const auto element = find(input);
    if (!element) return;
    if (!first) first = element;
    if (!element->same_qparams(*first)) return;
    data.push_back(element->data);
  }
  const WithInsertPoint before(node);
  Node* now = graph_->insertNode(graph_->createList(c10::TensorType::get(), data));
  Quantized result = *first;
  result.data = now->output();
  bind(node->output(), result);
  replaced_.push_back(node);
}

void Rewriter::branches(Node* node) {
  for (Block* each : node->blocks()) block(each);
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    std::optional<Quantized> agreed;
    bool any = false;
    bool all = true;
    for (Block* each : node->blocks()) {
      Value* value = each->outputs()[i];
      any = any || holds_quantized(value);
      if (never_read(value)) continue;
      const auto result = find(value);
      all = all && result && (!agreed || result->same_qparams(*agreed));
      if (!agreed) agreed = result;
    }
    if (!any) continue;
    if (!all) {
      row(node, Verdict::KEPT, "",
          "its branches end in values of different scale, zero point or dtype");
      for (Block* each : node->blocks()) {
        each->replaceOutput(i, as_quantized_tensor(each->outputs()[i], each->return_node()));
      }
      continue;
    }
    for (Block* each : node->blocks()) {
      if (const auto result = find(each->outputs()[i])) each->replaceOutput(i, result->data);
    }
    agreed->data = node->outputs()[i];
    bind(node->outputs()[i], *agreed);
  }
}

void Rewriter::loop(Node* node) {
  Block* body = node->blocks()[0];
  std::map<size_t, Quantized> carried;
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    auto value = find(node->inputs()[i + 2]);
    if (!value) continue;
    carried.emplace(i, *value);
    node->replaceInput(i + 2, value->data);
    value->data = body->inputs()[i + 1];
    bind(body->inputs()[i + 1], *value);
  }
  block(body);
  for (size_t i = 0; i < node->outputs().size(); ++i) {
    const auto result = find(body->outputs()[i + 1]);
    const auto start = carried.find(i);
    if (start == carried.end() && !holds_quantized(body->outputs()[i + 1])) continue;
    if (start == carried.end() || !result || !result->same_qparams(start->second)) {
      // The nodes before it have changed already, so the model cannot be kept in part.
      throw Unsupported("a loop carries a value whose scale, zero point or dtype changes (" +
                        source_of(node) + ")");
    }
    body->replaceOutput(i + 1, result->data);
    Quantized now = start->second;
    now.data = node->outputs()[i];
    bind(node->outputs()[i], now);
  }
}

void Rewriter::unquantizable_results(Block* block) {
  Node* end = block->return_node();
  if (uses_quantized(end)) {
    keep(end, "the model returns a quantized tensor, which has no plain counterpart");
  }
}

// For kept nodes: `value` as a quantized tensor again.
Value* Rewriter::as_quantized_tensor(Value* value, Node* before) {
  if (!holds_quantized(value)) return value;
  const WithInsertPoint here(before);
  if (const auto now = find(value); now && !is_tensor_list(value)) {
    return graph_->insert(c10::Symbol::fromQualString("aten::_make_per_tensor_quantized_tensor"),
                          {now->data, now->qparams.scale, now->qparams.zero_point});
  }
  Node* node = value->node();
  const bool container =
      node->kind() == prim::ListConstruct || node->kind() == prim::TupleConstruct;
  if (!container) throw Unsupported("a list of quantized tensors goes to a node that stays");
  Node* copy = graph_->createClone(node, [&](Value* v) { return as_quantized_tensor(v, before); });
  graph_->insertNode(copy);
  if (std::find(replaced_.begin(), replaced_.end(), node) == replaced_.end()) {
    replaced_.push_back(node);
  }
  return copy->output();
}

void Rewriter::keep(Node* node, const std::string& reason) {
  row(node, Verdict::KEPT, "", reason);
  for (size_t i = 0; i < node->inputs().size(); ++i) {
    node->replaceInput(i, as_quantized_tensor(node->inputs()[i], node));
  }
}

Handler find_handler(const Node* node) {
  const std::string kind = node->kind().toQualString();
  for (const Handlers* table :
       {&static_handlers(), &pool_handlers(), &function_handlers(), &data_handlers(),
        &dynamic_handlers(), &rnn_handlers(), &embedding_handlers()}) {
    if (const auto found = table->find(kind); found != table->end()) return found->second;
  }
  return nullptr;
}

}  // namespace qnative::migration
