#include <torch/csrc/jit/ir/constants.h>

#include "rewriter.h"

namespace qnative::migration {

bool CallSite::has(const std::string& name) const {
  const auto* schema = node_->maybeSchema();
  return schema && schema->argumentIndexWithName(name).has_value();
}

Value* CallSite::arg(const std::string& name) const { return node_->namedInput(name); }

IValue CallSite::constant(Value* value, const std::string& name) const {
  if (const auto known = torch::jit::toIValue(value)) return *known;
  Node* node = value->node();
  if (node->kind() != c10::prim::ListConstruct || is_changed(value)) {
    throw Unsupported("its argument " + name + " is computed, not a constant");
  }
  c10::impl::GenericList list(node->output()->type()->expectRef<c10::ListType>().getElementType());
  for (Value* element : node->inputs()) list.push_back(constant(element, name));
  return list;
}

IValue CallSite::constant(const std::string& name) const { return constant(arg(name), name); }

std::vector<IValue> CallSite::constants(const std::string& name) const {
  if (const auto known = torch::jit::toIValue(arg(name))) return known->toList().vec();
  std::vector<IValue> result;
  for (Value* element : list(name)) result.push_back(constant(element, name));
  return result;
}

double CallSite::real(const std::string& name) const {
  const IValue value = constant(name);
  if (value.isTensor() && value.toTensor().numel() == 1) return value.toTensor().item<double>();
  if (!value.isScalar()) throw Unsupported("its argument " + name + " is not one number");
  return value.toScalar().toDouble();
}

int64_t CallSite::integer(const std::string& name) const {
  const IValue value = constant(name);
  if (value.isTensor() && value.toTensor().numel() == 1) return value.toTensor().item<int64_t>();
  if (!value.isScalar()) throw Unsupported("its argument " + name + " is not one number");
  return value.toScalar().toLong();
}

bool CallSite::flag(const std::string& name) const { return constant(name).toBool(); }

std::optional<Quantized> CallSite::find(Value* value) const { return rewriter_.find(value); }

Quantized CallSite::quantized(Value* value, const std::string& name) const {
  const auto found = rewriter_.find(value);
  if (found) return *found;
  const Node* from = value->node();
  if (from->kind() == c10::prim::Param) {
    throw Unsupported("its argument " + name + " is given to the model: its scale is not known");
  }
  throw Unsupported("its argument " + name + " comes from " + from->kind().toQualString() +
                    ", which was not moved");
}

Quantized CallSite::quantized(const std::string& name) const { return quantized(arg(name), name); }

at::ArrayRef<Value*> CallSite::list(const std::string& name) const {
  Node* node = arg(name)->node();
  if (node->kind() != c10::prim::ListConstruct || is_changed(node->output())) {
    throw Unsupported("its argument " + name + " is a list of unknown length");
  }
  return node->inputs();
}

std::vector<Quantized> CallSite::elements(const std::string& name) const {
  std::vector<Quantized> result;
  for (Value* element : list(name)) result.push_back(quantized(element, name));
  if (result.empty()) throw Unsupported("its argument " + name + " is an empty list");
  return result;
}

Value* CallSite::insert(const IValue& value) {
  return rewriter_.graph().insertConstant(value, node_->sourceRange(), node_->scope());
}

Value* CallSite::call(const std::string& op, at::ArrayRef<NamedValue> args) {
  rewriter_.called(op);
  Value* y =
      rewriter_.graph().insert(c10::Symbol::fromQualString(op), args, {}, node_->sourceRange());
  y->node()->setScope(node_->scope());
  return y;
}

Node* CallSite::clone_on_data() {
  rewriter_.called(kind());
  Node* copy = rewriter_.graph().createClone(node_, [&](Value* value) {
    const auto now = rewriter_.find(value);
    return now ? now->data : value;
  });
  return rewriter_.graph().insertNode(copy);
}

void add_input(Args& args, const Quantized& x) {
  args.insert(args.end(), {x.data, x.qparams.scale, x.qparams.zero_point});
}

void add_output(Args& args, const OutputSpec& y) {
  args.insert(args.end(), {y.qparams.scale, y.qparams.zero_point, static_cast<int64_t>(y.dtype)});
}

void CallSite::becomes(const Quantized& y) { becomes(0, y); }

void CallSite::becomes(Value* y) { becomes(0, y); }

void CallSite::becomes(size_t output, Value* y) { node_->output(output)->replaceAllUsesWith(y); }

void CallSite::becomes(size_t output, const Quantized& y) {
  rewriter_.bind(node_->output(output), y);
}

at::ScalarType CallSite::weight_dtype(at::ScalarType otherwise) const {
  return rewriter_.options().dynamic_dtype.value_or(otherwise);
}

std::map<std::string, std::vector<IValue>>& CallSite::packed(const void* key) const {
  return rewriter_.packed()[key];
}

}  // namespace qnative::migration
