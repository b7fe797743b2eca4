#include "values.h"

namespace qnative::values {
namespace {

void check(bool right, const c10::IValue& value, const std::string& what, const char* wanted) {
  TORCH_CHECK_VALUE(right, what, " should be ", wanted, ", got ", value.tagKind());
}

}  // namespace

std::optional<at::ScalarType> to_dtype(const c10::IValue& value, const std::string& what) {
  if (value.isNone()) return std::nullopt;
  check(value.isInt(), value, what, "a dtype");
  const int64_t number = value.toInt();
  TORCH_CHECK_VALUE(number >= 0 && number < static_cast<int64_t>(at::ScalarType::NumOptions) &&
                        number != static_cast<int64_t>(at::ScalarType::Undefined),
                    what, " should be a dtype, and no dtype has the number ", number);
  return static_cast<at::ScalarType>(number);
}

std::optional<at::Scalar> to_number(const c10::IValue& value, const std::string& what) {
  if (value.isNone()) return std::nullopt;
  check(value.isInt() || value.isDouble(), value, what, "an int, a float or None");
  return value.toScalar();
}

std::optional<double> to_double(const c10::IValue& value, const std::string& what) {
  const auto number = to_number(value, what);
  return number ? std::optional(number->toDouble()) : std::nullopt;
}

std::optional<int64_t> to_int(const c10::IValue& value, const std::string& what) {
  check(value.isNone() || value.isInt(), value, what, "an int or None");
  return value.toOptional<int64_t>();
}

std::optional<bool> to_bool(const c10::IValue& value, const std::string& what) {
  check(value.isNone() || value.isBool(), value, what, "a bool or None");
  return value.toOptional<bool>();
}

std::optional<std::string> to_string(const c10::IValue& value, const std::string& what) {
  check(value.isNone() || value.isString(), value, what, "a str or None");
  return value.toOptional<std::string>();
}

std::string to_op(const c10::IValue& value, const std::string& what) {
  check(value.isString(), value, what, "names of ops");
  return value.toStringRef();
}

std::optional<Pattern> to_pattern(const c10::IValue& value, const std::string& what) {
  if (value.isNone()) return std::nullopt;
  check(value.isString() || value.isTuple(), value, what, "a str, a tuple or None");
  return within(what, [&] { return Pattern::from_ivalue(value); });
}

ObservationType to_observation_type(const c10::IValue& value, const std::string& what) {
  check(value.isInt(), value, what, "an ObservationType");
  return observation_type_from_int(value.toInt());
}

c10::IValue from_pattern(const std::optional<Pattern>& pattern) {
  return pattern ? pattern->to_ivalue() : c10::IValue();
}

}  // namespace qnative::values
