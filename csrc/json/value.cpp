#include <array>
#include <charconv>

#include "json.h"

namespace qnative::json {
namespace {

// Up to here a search is faster than an index.
constexpr size_t kMaxSearched = 16;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};

}  // namespace

const Value* Object::find(std::string_view name) const {
  if (index_ != nullptr) {
    const auto found = index_->find(name);
    return found == index_->end() ? nullptr : &members_[found->second].value;
  }
  for (const Member& member : members_) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

void Object::add(std::string name, Value value) {
  if (find(name) != nullptr) throw Error("another member of the object is named '" + name + "'");
  members_.push_back({std::move(name), std::move(value)});
  if (index_ != nullptr) {
    index_->emplace(members_.back().name, members_.size() - 1);
  } else if (members_.size() > kMaxSearched) {
    index_ = std::make_unique<Index>();
    for (size_t i = 0; i < members_.size(); ++i) index_->emplace(members_[i].name, i);
  }
}

std::string Value::describe() const {
  return std::visit(Overloaded{
                        [](std::monostate) -> std::string { return "null"; },
                        [](bool value) -> std::string { return value ? "true" : "false"; },
                        [](int64_t value) { return std::to_string(value); },
                        [](double value) { return number(value); },
                        [](const std::string& value) { return "'" + value + "'"; },
                        [](const Array&) -> std::string { return "an array"; },
                        [](const Object&) -> std::string { return "an object"; },
                    },
                    data);
}

std::string number(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  const std::string digits(buffer.data(), end.ptr);
  const bool is_whole = digits.find_first_not_of("-0123456789") == std::string::npos;
  return is_whole ? digits + ".0" : digits;
}

}  // namespace qnative::json
