#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "json.h"

// Members of the JSON texts of an archive. Errors say which member, what was wanted and what stands
// there. Members that nobody asks for are ignored: a newer torch may add some.
namespace qnative::program {

// c10::ValueError for what is no JSON.
json::Value parse(std::string_view text);

// The member of an object; null if there is none.
const json::Value* find(const json::Value& object, std::string_view name);

const json::Value& member(const json::Value& object, std::string_view name);

const json::Object& object(const json::Value& value);
const json::Array& array(const json::Value& value);
const std::string& text(const json::Value& value);
int64_t integer(const json::Value& value);
bool boolean(const json::Value& value);
// Also "Infinity", "-Infinity" and "NaN", which torch writes for what JSON has no numbers for.
double real(const json::Value& value);

inline const std::string& text(const json::Value& object, std::string_view name) {
  return text(member(object, name));
}
inline const json::Array& array(const json::Value& object, std::string_view name) {
  return array(member(object, name));
}

// A union of the schema: an object of one member, which names the kind.
struct Union {
  const std::string& kind;
  const json::Value& value;
};
Union as_union(const json::Value& value);

}  // namespace qnative::program
