#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

// JSON exactly as in RFC 8259: no comments, no trailing commas, no NaN. Two more rules: the names
// of the members of an object are distinct, and numbers fit int64 or double. Time and memory are
// linear in the length of the text.
namespace qnative::json {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Value;
struct Member;
using Array = std::vector<Value>;

// Members with distinct names, in the order of insertion.
class Object {
 public:
  size_t size() const;
  bool empty() const;
  const Member* begin() const;
  const Member* end() const;

  // Null if there is no such member. Constant time.
  const Value* find(std::string_view name) const;

  // Throws Error if there is a member of that name.
  void add(std::string name, Value value);

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  using Index = std::unordered_map<std::string, size_t, Hash, std::equal_to<>>;

  std::vector<Member> members_;
  // Positions in members_ by name; null for small objects, which are searched.
  std::unique_ptr<Index> index_;
};

struct Value {
  // std::monostate is null. A number without point and exponent is an int64_t.
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> data;

  // The value for messages: "'foo'", "3", "an object".
  std::string describe() const;
};

struct Member {
  std::string name;
  Value value;
};

inline size_t Object::size() const { return members_.size(); }
inline bool Object::empty() const { return members_.empty(); }
inline const Member* Object::begin() const { return members_.data(); }
inline const Member* Object::end() const { return members_.data() + members_.size(); }

// Throws Error with line, column, what was wanted and what stands there; so for more than 64 levels
// of arrays and objects.
Value parse(std::string_view text);

// Whether the elements of an array or object at this depth (0: the root) are written on lines of
// their own.
using OnLines = bool (*)(const Value& value, int depth);

// Throws Error for a string that is not UTF-8 and for a number that is not finite.
std::string dump(const Value& value, OnLines on_lines);

// The shortest number that reads back as the same double, with a point or an exponent.
std::string number(double value);

bool is_utf8(std::string_view text);

}  // namespace qnative::json
