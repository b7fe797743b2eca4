#include "signature.h"

#include <algorithm>
#include <limits>

#include "error.h"

namespace qnative::program {
namespace {

using c10::IValue;

std::string describe(const IValue& value) {
  if (!value.isTensor()) return value.isScalar() ? c10::str(value) : value.tagKind();
  const at::Tensor& tensor = value.toTensor();
  if (!tensor.defined()) return "an undefined tensor";
  return c10::str(tensor.scalar_type(), " ", tensor.sizes(), " on ", tensor.device(),
                  tensor.layout() == at::kStrided ? "" : c10::str(", layout ", tensor.layout()));
}

std::string describe(const Input& input, const Sizes& sizes) {
  if (input.kind == Input::Kind::kInt) return "an integer";
  if (input.kind == Input::Kind::kConstant) return c10::str(input.constant);
  std::string text = c10::str(input.dtype, " [");
  for (size_t i = 0; i < input.sizes.size(); ++i) {
    const Input::Size& size = input.sizes[i];
    text += i == 0 ? "" : ", ";
    text += size.variable < 0 ? std::to_string(size.number) : sizes.text(size.variable);
  }
  return text + "] on cpu";
}

[[noreturn]] void refuse(const Input& input, const IValue& value, const Sizes& sizes) {
  fail("input '", input.name, "': wanted ", describe(input, sizes), ", got ", describe(value));
}

bool equal(const IValue& a, const IValue& b) {
  if (a.isNone() || b.isNone()) return a.isNone() && b.isNone();
  if (a.isString() && b.isString()) return a.toStringRef() == b.toStringRef();
  if (a.isBool() != b.isBool() || !a.isScalar() || !b.isScalar()) return false;
  const double x = a.toScalar().toDouble(), y = b.toScalar().toDouble();
  return x == y || (x != x && y != y);
}

constexpr int64_t kUnset = std::numeric_limits<int64_t>::min();

// Sets a variable, unless another input has set it: then the two must agree.
void set(const Input& input, size_t i, int64_t value, const Sizes& sizes,
         std::vector<int64_t>& values) {
  const int64_t variable = input.sizes[i].variable;
  int64_t& known = values[static_cast<size_t>(variable)];
  if (known != kUnset && known != value) {
    fail(input.source(i), " is ", value, ", wanted ", sizes.text(variable), " = ", known, " (",
         sizes.source(variable), ")");
  }
  known = value;
}

bool fits(const Input& input, const at::Tensor& x, const Sizes& sizes,
          std::vector<int64_t>& values) {
  if (!x.defined() || x.scalar_type() != input.dtype || !x.is_cpu()) return false;
  const at::IntArrayRef got = x.sizes();
  if (got.size() != input.sizes.size() || x.layout() != at::kStrided) return false;
  for (size_t i = 0; i < got.size(); ++i) {
    const Input::Size& size = input.sizes[i];
    if (size.variable < 0 && got[i] != size.number) return false;
    if (size.variable >= 0) set(input, i, got[i], sizes, values);
  }
  return true;
}

bool fits(const Input& input, const IValue& value, const Sizes& sizes,
          std::vector<int64_t>& values) {
  switch (input.kind) {
    case Input::Kind::kTensor:
      return value.isTensor() && fits(input, value.toTensor(), sizes, values);
    case Input::Kind::kInt:
      if (value.isInt()) set(input, 0, value.toInt(), sizes, values);
      return value.isInt();
    case Input::Kind::kConstant:
      return equal(value, input.constant);
  }
  return false;
}

}  // namespace

std::string Input::source(size_t i) const {
  return kind == Kind::kInt ? "input '" + name + "'"
                            : c10::str("size ", i, " of input '", name, "'");
}

void Signature::check(c10::ArrayRef<IValue> given, State& state) const {
  if (given.size() != inputs.size()) fail("wanted ", inputs.size(), " inputs, got ", given.size());
  state.values.assign(sizes.count(), kUnset);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!fits(inputs[i], given[i], sizes, state.values)) refuse(inputs[i], given[i], sizes);
  }
  if (state.values == state.accepted) return;
  std::vector<int64_t> seen = state.values;
  sizes.check(state.values);
  state.accepted = std::move(seen);
}

std::vector<IValue> Signature::flatten(const std::vector<IValue>& args,
                                       const Kwargs& kwargs) const {
  const Tree& positional = in.children[0];
  const Tree& named = in.children[1];
  const size_t count = positional.children.size();
  if (args.size() > count) fail("takes ", count, " positional arguments, got ", args.size());
  std::vector<IValue> leaves;
  size_t used = 0;
  for (size_t i = 0; i < argument_names.size(); ++i) {
    const Tree& tree = i < count ? positional.children[i] : named.children[i - count];
    const auto found = kwargs.find(argument_names[i]);
    if (i < args.size()) {
      if (found != kwargs.end()) fail("argument '", argument_names[i], "' is given twice");
      tree.flatten(args[i], argument_names[i], leaves);
    } else if (found != kwargs.end()) {
      tree.flatten(found->second, argument_names[i], leaves);
      ++used;
    } else {
      leave_out(argument_names[i], tree.leaves, leaves);
    }
  }
  if (used == kwargs.size()) return leaves;
  for (const auto& [name, value] : kwargs) {
    if (std::find(argument_names.begin(), argument_names.end(), name) == argument_names.end()) {
      fail("has no argument '", name, "'; its arguments are ", argument_names);
    }
  }
  return leaves;
}

void Signature::leave_out(const std::string& name, size_t count,
                          std::vector<IValue>& leaves) const {
  for (size_t i = 0; i < count; ++i) {
    const Input& input = inputs[leaves.size()];
    if (input.kind != Input::Kind::kConstant) fail("argument '", name, "' is missing");
    leaves.push_back(input.constant);
  }
}

}  // namespace qnative::program
