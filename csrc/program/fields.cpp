#include "fields.h"

#include <limits>

#include "error.h"

namespace qnative::program {
namespace {

template <class T>
const T& as(const json::Value& value, const char* wanted) {
  const T* data = std::get_if<T>(&value.data);
  if (data == nullptr) fail("wanted ", wanted, ", got ", value.describe());
  return *data;
}

}  // namespace

const json::Object& object(const json::Value& value) {
  return as<json::Object>(value, "an object");
}

const json::Array& array(const json::Value& value) { return as<json::Array>(value, "an array"); }

const std::string& text(const json::Value& value) { return as<std::string>(value, "a string"); }

int64_t integer(const json::Value& value) { return as<int64_t>(value, "an integer"); }

bool boolean(const json::Value& value) { return as<bool>(value, "true or false"); }

double real(const json::Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value.data)) return static_cast<double>(*integer);
  if (const auto* name = std::get_if<std::string>(&value.data)) {
    if (*name == "Infinity") return std::numeric_limits<double>::infinity();
    if (*name == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (*name == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  return as<double>(value, "a number");
}

json::Value parse(std::string_view text) {
  try {
    return json::parse(text);
  } catch (const json::Error& error) {
    fail(error.what());
  }
}

const json::Value* find(const json::Value& value, std::string_view name) {
  return object(value).find(name);
}

const json::Value& member(const json::Value& value, std::string_view name) {
  const json::Value* found = find(value, name);
  if (found == nullptr) fail("an object without member '", name, "'");
  return *found;
}

Union as_union(const json::Value& value) {
  const json::Object& members = object(value);
  if (members.size() != 1) {
    fail("wanted an object of one member, its kind, got ", members.size(), " members");
  }
  return {members.begin()->name, members.begin()->value};
}

}  // namespace qnative::program
