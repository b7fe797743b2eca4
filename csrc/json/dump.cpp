#include <cmath>

#include "json.h"
#include "utf8.h"

namespace qnative::json {
namespace {

class Writer {
 public:
  explicit Writer(OnLines on_lines) : on_lines_(on_lines) {}

  void write(const Value& value, int depth) {
    std::visit([&](const auto& data) { write_data(data, on_lines_(value, depth), depth); },
               value.data);
  }

  std::string text() && { return std::move(text_); }

 private:
  void write_data(std::monostate, bool, int) { text_ += "null"; }
  void write_data(bool value, bool, int) { text_ += value ? "true" : "false"; }
  void write_data(int64_t value, bool, int) { text_ += std::to_string(value); }
  void write_data(const std::string& value, bool, int) { write_quoted(value); }

  void write_data(double value, bool, int) {
    if (!std::isfinite(value)) throw Error("a number that is not finite: " + number(value));
    text_ += number(value);
  }

  void write_data(const Array& array, bool on_lines, int depth) {
    text_ += '[';
    bool is_first = true;
    for (const Value& element : array) {
      separate(is_first, on_lines, depth + 1);
      is_first = false;
      write(element, depth + 1);
    }
    close(']', on_lines && !array.empty(), depth);
  }

  void write_data(const Object& object, bool on_lines, int depth) {
    text_ += '{';
    bool is_first = true;
    for (const auto& [name, member] : object) {
      separate(is_first, on_lines, depth + 1);
      is_first = false;
      write_quoted(name);
      text_ += ": ";
      write(member, depth + 1);
    }
    close('}', on_lines && !object.empty(), depth);
  }

  void separate(bool is_first, bool on_lines, int depth) {
    text_ += is_first ? "" : on_lines ? "," : ", ";
    if (on_lines) new_line(depth);
  }

  void close(char bracket, bool on_lines, int depth) {
    if (on_lines) new_line(depth);
    text_ += bracket;
  }

  void new_line(int depth) { text_.append("\n").append(2 * static_cast<size_t>(depth), ' '); }

  void write_quoted(std::string_view value) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text_ += '"';
    for (size_t i = 0; i < value.size();) {
      const size_t length = utf8_length(value.substr(i));
      if (length == 0) throw Error("a text that is not UTF-8");
      const char c = value[i];
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        text_ += "\\u00";
        text_ += kDigits[c >> 4 & 0xF];
        text_ += kDigits[c & 0xF];
      } else {
        text_ += value.substr(i, length);
      }
      i += length;
    }
    text_ += '"';
  }

  OnLines on_lines_;
  std::string text_;
};

}  // namespace

std::string dump(const Value& value, OnLines on_lines) {
  Writer writer(on_lines);
  writer.write(value, 0);
  return std::move(writer).text();
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace qnative::json
