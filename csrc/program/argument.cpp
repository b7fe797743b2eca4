#include "argument.h"

#include "codes.h"
#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

using c10::IValue;
using c10::TypeKind;
using Kind = Argument::Kind;
using Element = Argument::Element;

Argument constant(IValue value) {
  Argument argument;
  argument.constant = std::move(value);
  return argument;
}

template <class Read>
Argument read_list(const json::Value& list, const Read& read) {
  Argument argument;
  argument.kind = Kind::kList;
  for (const json::Value& element : array(list)) argument.elements.push_back(read(element));
  return argument;
}

// SymIntArgument, SymFloatArgument, SymBoolArgument: a name or a number.
Argument read_symbol(const json::Value& symbol, const Values& values) {
  const auto& [kind, value] = as_union(symbol);
  if (kind == "as_name") return values.use(text(value));
  if (kind == "as_int") return constant(integer(value));
  if (kind == "as_float") return constant(real(value));
  if (kind == "as_bool") return constant(boolean(value));
  fail("a symbol of kind '", kind, "' is not supported");
}

Argument read_optional_tensor(const json::Value& tensor, const Values& values) {
  const auto& [kind, value] = as_union(tensor);
  if (kind == "as_none") return {};
  if (kind == "as_tensor") return values.use(text(value, "name"));
  fail("an optional tensor of kind '", kind, "' is not supported");
}

using Reader = Argument (*)(const json::Value&, const Values&);

const std::unordered_map<std::string, Reader>& readers() {
  using V = const json::Value&;
  using N = const Values&;
  static const std::unordered_map<std::string, Reader> kReaders = {
      {"as_none", [](V, N) { return Argument(); }},
      {"as_tensor", [](V v, N values) { return values.use(text(v, "name")); }},
      {"as_optional_tensor", read_optional_tensor},
      {"as_int", [](V v, N) { return constant(integer(v)); }},
      {"as_float", [](V v, N) { return constant(real(v)); }},
      {"as_bool", [](V v, N) { return constant(boolean(v)); }},
      {"as_string", [](V v, N) { return constant(text(v)); }},
      {"as_complex",
       [](V v, N) {
         return constant(c10::complex<double>(real(member(v, "real")), real(member(v, "imag"))));
       }},
      {"as_scalar_type",
       [](V v, N) { return constant(static_cast<int64_t>(read_scalar_type(v))); }},
      {"as_memory_format",
       [](V v, N) { return constant(static_cast<int64_t>(read_memory_format(v))); }},
      {"as_layout", [](V v, N) { return constant(static_cast<int64_t>(read_layout(v))); }},
      {"as_device", [](V v, N) { return constant(read_device(v)); }},
      {"as_sym_int", read_symbol},
      {"as_sym_float", read_symbol},
      {"as_sym_bool", read_symbol},
      {"as_tensors",
       [](V v, N values) {
         return read_list(v, [&](V tensor) { return values.use(text(tensor, "name")); });
       }},
      {"as_optional_tensors",
       [](V v, N values) {
         return read_list(v, [&](V tensor) { return read_optional_tensor(tensor, values); });
       }},
      {"as_ints", [](V v, N) { return read_list(v, [](V i) { return constant(integer(i)); }); }},
      {"as_floats", [](V v, N) { return read_list(v, [](V i) { return constant(real(i)); }); }},
      {"as_bools", [](V v, N) { return read_list(v, [](V i) { return constant(boolean(i)); }); }},
      {"as_strings", [](V v, N) { return read_list(v, [](V i) { return constant(text(i)); }); }},
      {"as_sym_ints",
       [](V v, N values) { return read_list(v, [&](V i) { return read_symbol(i, values); }); }},
      {"as_sym_floats",
       [](V v, N values) { return read_list(v, [&](V i) { return read_symbol(i, values); }); }},
      {"as_sym_bools",
       [](V v, N values) { return read_list(v, [&](V i) { return read_symbol(i, values); }); }},
  };
  return kReaders;
}

std::string describe(const Argument& argument, const Values& values) {
  if (argument.kind == Kind::kList) return "a list";
  if (argument.kind == Kind::kConstant) {
    return argument.constant.isTensor() ? "a tensor" : c10::str(argument.constant);
  }
  switch (values.kind(argument.slot)) {
    case ValueKind::kTensor:
      return "a tensor";
    case ValueKind::kInt:
      return "an int";
    case ValueKind::kFloat:
      return "a float";
    case ValueKind::kBool:
      return "a bool";
  }
  return "a value";
}

// Argument::Element of a list type, if lists of it can be arguments.
std::optional<Element> element_of(const c10::Type& type) {
  switch (type.kind()) {
    case TypeKind::TensorType:
      return Element::kTensor;
    case TypeKind::OptionalType:
      return type.containedType(0)->kind() == TypeKind::TensorType
                 ? std::optional(Element::kOptionalTensor)
                 : std::nullopt;
    case TypeKind::IntType:
      return Element::kInt;
    case TypeKind::FloatType:
      return Element::kFloat;
    case TypeKind::BoolType:
      return Element::kBool;
    case TypeKind::StringType:
      return Element::kString;
    default:
      return std::nullopt;
  }
}

// A number that is not known before the run.
bool adapt_slot(Argument& argument, const c10::Type& type, ValueKind kind) {
  switch (type.kind()) {
    case TypeKind::TensorType:
      if (kind != ValueKind::kTensor) argument.kind = Kind::kWrappedNumber;
      return true;
    case TypeKind::NumberType:
      return kind != ValueKind::kTensor;
    case TypeKind::IntType:
      return kind == ValueKind::kInt;
    case TypeKind::FloatType:
      if (kind == ValueKind::kInt) argument.kind = Kind::kFloat;
      return kind == ValueKind::kInt || kind == ValueKind::kFloat;
    case TypeKind::BoolType:
      return kind == ValueKind::kBool;
    default:
      return false;
  }
}

bool adapt_constant(IValue& value, const c10::Type& type) {
  switch (type.kind()) {
    case TypeKind::TensorType:
      if (value.isScalar()) value = wrapped_number(value);
      return value.isTensor();
    case TypeKind::NumberType:
      return value.isScalar();
    case TypeKind::IntType:
      if (value.isBool()) value = static_cast<int64_t>(value.toBool());
      return value.isInt();
    case TypeKind::FloatType:
      if (value.isInt()) value = static_cast<double>(value.toInt());
      return value.isDouble();
    case TypeKind::BoolType:
      return value.isBool();
    case TypeKind::StringType:
      return value.isString();
    case TypeKind::DeviceObjType:
      return value.isDevice();
    default:
      return false;
  }
}

bool adapt_type(Argument& argument, const c10::Type& type, const Values& values, int32_t count);

bool adapt_list(Argument& argument, const c10::Type& type, const Values& values, int32_t count) {
  const auto element = element_of(*type.containedType(0));
  if (!element) return false;
  if (argument.kind != Kind::kList) {  // one for all
    if (count <= 0) return false;
    Argument list;
    list.kind = Kind::kList;
    list.elements.assign(static_cast<size_t>(count), argument);
    argument = std::move(list);
  }
  argument.element = *element;
  bool is_constant = true;
  for (Argument& item : argument.elements) {
    if (!adapt_type(item, *type.containedType(0), values, 0)) return false;
    is_constant &= item.is_constant();
  }
  if (is_constant) argument = constant(argument.value(Frame()));
  return true;
}

bool adapt_type(Argument& argument, const c10::Type& type, const Values& values, int32_t count) {
  if (type.kind() == TypeKind::OptionalType) {
    const bool is_none = argument.is_constant() && argument.constant.isNone();
    return is_none || adapt_type(argument, *type.containedType(0), values, count);
  }
  if (type.kind() == TypeKind::ListType) return adapt_list(argument, type, values, count);
  if (argument.kind == Kind::kSlot) return adapt_slot(argument, type, values.kind(argument.slot));
  return argument.is_constant() && adapt_constant(argument.constant, type);
}

}  // namespace

Slot Values::define(const std::string& name, ValueKind kind) {
  Argument argument;
  argument.kind = Kind::kSlot;
  argument.slot = count();
  if (!arguments_.emplace(name, argument).second) fail("value '", name, "' is defined twice");
  kinds_.push_back(kind);
  return argument.slot;
}

void Values::define(const std::string& name, at::Tensor tensor) {
  const bool is_new = arguments_.emplace(name, constant(std::move(tensor))).second;
  if (!is_new) fail("value '", name, "' is defined twice");
}

Argument Values::use(const std::string& name) const {
  const auto found = arguments_.find(name);
  if (found == arguments_.end()) fail("value '", name, "' is not defined before it is used");
  return found->second;
}

Argument read_argument(const json::Value& argument, const Values& values) {
  const auto& [kind, value] = as_union(argument);
  const auto reader = readers().find(kind);
  if (reader == readers().end()) fail("an argument of kind '", kind, "' is not supported");
  return reader->second(value, values);
}

void adapt(Argument& argument, const c10::Argument& formal, const Values& values) {
  const std::string got = describe(argument, values);
  if (!adapt_type(argument, *formal.type(), values, formal.N().value_or(1))) {
    fail("argument '", formal.name(), "': wanted ", formal.type()->str(), ", got ", got);
  }
}

}  // namespace qnative::program
