#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

// JSON as RFC 8259 has it and no more: no comments, no trailing commas, no NaN. Beyond it, two
// members of an object must not have one name, and numbers must fit int64 or double.
namespace qnative::json {

struct Value;
using Array = std::vector<Value>;
// In the order of the text.
using Object = std::vector<std::pair<std::string, Value>>;

struct Value {
  // The first is null. A number without point and exponent is an int64_t.
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> data;

  // What stands there, for messages: "'foo'", "3", "an object".
  std::string describe() const;
};

// Throws c10::ValueError that says line and column, what was wanted and what stands there.
Value parse(const std::string& text);

// With quotes and escapes. Throws c10::ValueError if it is not UTF-8.
std::string quoted(const std::string& text);

}  // namespace qnative::json
