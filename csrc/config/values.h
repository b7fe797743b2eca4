#pragma once

#include <ATen/core/ivalue.h>

#include <optional>
#include <string>

#include "qnative/config.h"

// Converts values from outside: TorchScript, Python or a file. `what` names the value in the error,
// a c10::ValueError.
namespace qnative::values {

std::optional<at::ScalarType> to_dtype(const c10::IValue& value, const std::string& what);
// Int or double.
std::optional<at::Scalar> to_number(const c10::IValue& value, const std::string& what);
std::optional<double> to_double(const c10::IValue& value, const std::string& what);
std::optional<int64_t> to_int(const c10::IValue& value, const std::string& what);
std::optional<bool> to_bool(const c10::IValue& value, const std::string& what);
std::optional<std::string> to_string(const c10::IValue& value, const std::string& what);
// A str; None is an error.
std::string to_op(const c10::IValue& value, const std::string& what);
std::optional<Pattern> to_pattern(const c10::IValue& value, const std::string& what);
ObservationType to_observation_type(const c10::IValue& value, const std::string& what);

// Null if `value` is not an object of class T.
template <typename T>
c10::intrusive_ptr<T> to_object(const c10::IValue& value) {
  return value.isCustomClass() && *value.type() == *c10::getCustomClassType<c10::intrusive_ptr<T>>()
             ? value.toCustomClass<T>()
             : c10::intrusive_ptr<T>();
}

c10::IValue from_pattern(const std::optional<Pattern>& pattern);

// Runs `action` and prefixes the messages of its errors with `where`.
template <typename Action>
auto within(const std::string& where, const Action& action) {
  try {
    return action();
  } catch (const c10::ValueError& error) {
    TORCH_CHECK_VALUE(false, where, ": ", error.what_without_backtrace());
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, where, ": ", error.what_without_backtrace());
  }
}

// The same for an element of a list: "configs[1]: ...".
template <typename Action>
auto within(const std::string& list, size_t index, const Action& action) {
  return within(list + "[" + std::to_string(index) + "]", action);
}

}  // namespace qnative::values
