#include <algorithm>
#include <charconv>

#include "json.h"
#include "utf8.h"

namespace qnative::json {
namespace {

// Deeper than any config or exported program; a bound keeps a hostile text from exhausting the
// stack.
constexpr int kMaxDepth = 64;

void append_utf8(std::string& text, uint32_t code) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    add(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3F));
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Value document() {
    Value value = this->value(0);
    skip_space();
    check(at_end(), "the end of the text");
    return value;
  }

 private:
  bool at_end() const { return position_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[position_]; }

  void check(bool right, const char* wanted) const {
    if (right) return;
    const std::string_view before = text_.substr(0, position_);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = position_ - (before.find_last_of('\n') + 1) + 1;
    throw Error("line " + std::to_string(line) + ", column " + std::to_string(column) +
                ": wanted " + wanted + ", got " + found());
  }

  // The text at the current position, for messages.
  std::string found() const {
    if (at_end()) return "the end of the text";
    const size_t length = utf8_length(text_.substr(position_));
    const auto byte = static_cast<unsigned char>(peek());
    return length == 0 || byte < 0x20 ? "byte " + std::to_string(byte)
                                      : "'" + std::string(text_.substr(position_, length)) + "'";
  }

  void skip_space() {
    position_ = std::min(text_.find_first_not_of(" \t\r\n", position_), text_.size());
  }

  bool take(char wanted) {
    if (peek() != wanted || at_end()) return false;
    ++position_;
    return true;
  }

  bool take(std::string_view word) {
    if (text_.substr(position_, word.size()) != word) return false;
    position_ += word.size();
    return true;
  }

  Value value(int depth) {
    check(depth <= kMaxDepth, "at most 64 levels of arrays and objects");
    skip_space();
    if (take('{')) return {object(depth)};
    if (take('[')) return {array(depth)};
    if (take('"')) return {string()};
    if (take("null")) return {};
    if (take("true")) return {true};
    if (take("false")) return {false};
    return number();
  }

  Object object(int depth) {
    Object members;
    skip_space();
    if (take('}')) return members;
    do {
      skip_space();
      const size_t start = position_;
      check(take('"'), "the name of a member");
      std::string name = string();
      if (members.find(name) != nullptr) {
        position_ = start;
        check(false, "a name that no other member of the object has");
      }
      skip_space();
      check(take(':'), "':'");
      members.add(std::move(name), value(depth + 1));
      skip_space();
    } while (take(','));
    check(take('}'), "',' or '}'");
    return members;
  }

  Array array(int depth) {
    Array elements;
    skip_space();
    if (take(']')) return elements;
    do {
      elements.push_back(value(depth + 1));
      skip_space();
    } while (take(','));
    check(take(']'), "',' or ']'");
    return elements;
  }

  // The rest of a string, after its opening quote.
  std::string string() {
    std::string result;
    while (true) {
      const size_t start = position_;
      while (!at_end() && is_plain(peek())) ++position_;
      result += text_.substr(start, position_ - start);
      if (take('"')) return result;
      check(!at_end() && static_cast<unsigned char>(peek()) >= 0x20, "'\"'");
      if (take('\\')) {
        escape(result);
        continue;
      }
      const size_t length = utf8_length(text_.substr(position_));
      check(length > 0, "UTF-8");
      result += text_.substr(position_, length);
      position_ += length;
    }
  }

  // Whether a byte of a string stands for itself whatever its neighbours are.
  static bool is_plain(char c) {
    return static_cast<unsigned char>(c - 0x20) < 0x60 && c != '"' && c != '\\';
  }

  void escape(std::string& result) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      uint32_t code = hex();
      if (code >= 0xD800 && code < 0xDC00) {
        check(take("\\u"), "the second half of a surrogate pair");
        const uint32_t low = hex();
        check(low >= 0xDC00 && low < 0xE000, "the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      check(code < 0xD800 || code >= 0xE000, "the first half of a surrogate pair");
      append_utf8(result, code);
      return;
    }
    const size_t which = at_end() ? std::string_view::npos : kNames.find(peek());
    check(which != std::string_view::npos, "an escape: one of \"\\/bfnrtu");
    result += kValues[which];
    ++position_;
  }

  uint32_t hex() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const char digit = peek() >= 'A' && peek() <= 'F' ? static_cast<char>(peek() + 32) : peek();
      const size_t value = kDigits.find(digit);
      check(value != std::string_view::npos && !at_end(), "four hexadecimal digits");
      code = code << 4 | static_cast<uint32_t>(value);
      ++position_;
    }
    return code;
  }

  void digits(const char* wanted) {
    check(peek() >= '0' && peek() <= '9', wanted);
    while (peek() >= '0' && peek() <= '9') ++position_;
  }

  Value number() {
    const size_t start = position_;
    const bool is_negative = take('-');
    if (!take('0')) digits(is_negative ? "a digit" : "a value");
    bool is_int = true;
    if (take('.')) {
      is_int = false;
      digits("a digit");
    }
    if (take('e') || take('E')) {
      is_int = false;
      if (!take('+')) take('-');
      digits("a digit");
    }
    const std::string_view text = text_.substr(start, position_ - start);
    int64_t integer = 0;
    double real = 0;
    const auto error = is_int ? std::from_chars(text.begin(), text.end(), integer).ec
                              : std::from_chars(text.begin(), text.end(), real).ec;
    if (error != std::errc()) {
      position_ = start;
      check(false, is_int ? "an integer of 64 bits" : "a number that a double can hold");
    }
    return is_int ? Value{integer} : Value{real};
  }

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

Value parse(std::string_view text) { return Parser(text).document(); }

}  // namespace qnative::json
