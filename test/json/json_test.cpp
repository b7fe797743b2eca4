#include "json.h"

#include <gtest/gtest.h>

#include <limits>

namespace qnative::json {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

bool inline_everywhere(const Value&, int) { return false; }
bool lines_everywhere(const Value&, int) { return true; }

// The text of `text`, read and written again.
std::string again(std::string_view text) { return dump(parse(text), inline_everywhere); }

std::string error_of(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(Json, EveryTypeSurvives) {
  for (const char* text :
       {"null", "true", "false", "0", "-1", "0.5", "-0.0", "1e+300", "\"a\"", "[]", "{}",
        "[1, [2.5, null], {\"a\": []}]", "{\"b\": 1, \"a\": {\"\": \"x\"}}"}) {
    EXPECT_EQ(again(text), text);
  }
  EXPECT_EQ(again(" [ 1 ,\t2\r\n]\n"), "[1, 2]");
}

TEST(Json, IntegersAreExact) {
  for (const int64_t value : {kMin, kMin + 1, int64_t{-1}, (int64_t{1} << 53) + 1, kMax}) {
    EXPECT_EQ(std::get<int64_t>(parse(std::to_string(value)).data), value);
  }
  EXPECT_EQ(error_of("9223372036854775808"),
            "line 1, column 1: wanted an integer of 64 bits, got '9'");
  EXPECT_EQ(error_of("-9223372036854775809"),
            "line 1, column 1: wanted an integer of 64 bits, got '-'");
}

TEST(Json, DoublesAreExact) {
  for (const double value : {0.1, 1.0, -1.5e-300, 5e-324, 1.7976931348623157e308, 123456789.0}) {
    EXPECT_EQ(std::get<double>(parse(number(value)).data), value);
  }
  EXPECT_EQ(number(3), "3.0");
  EXPECT_EQ(number(1e22), "1e+22");
  EXPECT_EQ(error_of("1e999"), "line 1, column 1: wanted a number that a double can hold, got '1'");
}

TEST(Json, NumbersThatAreNotFiniteAreNotJson) {
  for (const char* text : {"NaN", "Infinity", "-Infinity", "nan", "inf"}) {
    EXPECT_NE(error_of(text), "no error") << text;
  }
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(dump({value}, inline_everywhere), Error);
  }
  // As torch.export writes them.
  EXPECT_EQ(std::get<std::string>(parse("\"Infinity\"").data), "Infinity");
}

TEST(Json, Strings) {
  const std::string text = "\"\\\n\t\x01 \xC3\xA4 \xF0\x9F\x98\x80";
  const std::string written = dump({text}, inline_everywhere);
  EXPECT_EQ(written, "\"\\\"\\\\\\u000a\\u0009\\u0001 \xC3\xA4 \xF0\x9F\x98\x80\"");
  EXPECT_EQ(std::get<std::string>(parse(written).data), text);
  EXPECT_EQ(std::get<std::string>(parse(R"("\"\\\/\b\f\n\r\t\u00e4\u20AC\ud83d\ude00")").data),
            "\"\\/\b\f\n\r\t\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(std::get<std::string>(parse(R"("a\u0000b")").data), std::string("a\0b", 3));
  for (const char* wrong : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_FALSE(is_utf8(wrong));
    EXPECT_THROW(dump({std::string(wrong)}, inline_everywhere), Error);
    const std::string quoted = "[\"ab" + std::string(wrong) + "\"]";
    EXPECT_EQ(error_of(quoted).substr(0, 40), "line 1, column 5: wanted UTF-8, got byte");
  }
  EXPECT_TRUE(is_utf8(text));
  EXPECT_TRUE(is_utf8(""));
}

TEST(Json, ErrorsNameThePlace) {
  EXPECT_EQ(error_of(""), "line 1, column 1: wanted a value, got the end of the text");
  EXPECT_EQ(error_of("{\n \"a\" 1}"), "line 2, column 6: wanted ':', got '1'");
  EXPECT_EQ(error_of("{\"a\": 1,}"), "line 1, column 9: wanted the name of a member, got '}'");
  EXPECT_EQ(error_of("[1,]"), "line 1, column 4: wanted a value, got ']'");
  EXPECT_EQ(error_of("[1"), "line 1, column 3: wanted ',' or ']', got the end of the text");
  EXPECT_EQ(error_of("01"), "line 1, column 2: wanted the end of the text, got '1'");
  EXPECT_EQ(error_of("\"\n\""), "line 1, column 2: wanted '\"', got byte 10");
  EXPECT_EQ(error_of("\"\\x\""), "line 1, column 3: wanted an escape: one of \"\\/bfnrtu, got 'x'");
  EXPECT_EQ(error_of(std::string_view("{}\0", 3)),
            "line 1, column 3: wanted the end of the text, got byte 0");
}

TEST(Json, DepthIsBounded) {
  EXPECT_EQ(again(nested(65)), nested(65));
  EXPECT_EQ(error_of(nested(66)).substr(0, 69),
            "line 1, column 66: wanted at most 64 levels of arrays and objects, go");
  EXPECT_NE(error_of(nested(1000000)), "no error");
}

TEST(Json, ObjectsOfAnySizeFindTheirMembers) {
  for (const int count : {0, 1, 15, 16, 17, 18, 1000}) {
    Object object;
    for (int i = 0; i < count; ++i) {
      object.add("name" + std::to_string(i), {int64_t{i}});
    }
    ASSERT_EQ(object.size(), static_cast<size_t>(count));
    EXPECT_EQ(object.empty(), count == 0);
    const Value copy = parse(dump({std::move(object)}, inline_everywhere));
    const auto& read = std::get<Object>(copy.data);
    int64_t next = 0;
    for (const auto& [name, value] : read) {
      EXPECT_EQ(name, "name" + std::to_string(next));
      EXPECT_EQ(read.find(name), &value);
      EXPECT_EQ(std::get<int64_t>(value.data), next++);
    }
    EXPECT_EQ(next, count);
    EXPECT_EQ(read.find("other"), nullptr);
  }
}

TEST(Json, NamesAreDistinct) {
  for (const int count : {1, 16, 40}) {
    std::string text = "{";
    for (int i = 0; i < count; ++i) text += "\"n" + std::to_string(i) + "\": 0, ";
    EXPECT_EQ(error_of(text + "\"\\u006e0\": 0}"),
              "line 1, column " + std::to_string(text.size() + 1) +
                  ": wanted a name that no other member of the object has, got '\"'");
  }
  Object object;
  object.add("a", {});
  EXPECT_THROW(object.add("a", {}), Error);
}

TEST(Json, LinesAreTheCallersChoice) {
  const Value value = parse(R"({"a": [1, {"b": []}], "c": {}})");
  EXPECT_EQ(dump(value, lines_everywhere),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}");
  EXPECT_EQ(dump(value, [](const Value&, int depth) { return depth == 0; }),
            "{\n  \"a\": [1, {\"b\": []}],\n  \"c\": {}\n}");
}

TEST(Json, ValuesDescribeThemselves) {
  EXPECT_EQ(parse("null").describe(), "null");
  EXPECT_EQ(parse("true").describe(), "true");
  EXPECT_EQ(parse("3").describe(), "3");
  EXPECT_EQ(parse("3.0").describe(), "3.0");
  EXPECT_EQ(parse("\"a\"").describe(), "'a'");
  EXPECT_EQ(parse("[1]").describe(), "an array");
  EXPECT_EQ(parse("{}").describe(), "an object");
}

}  // namespace
}  // namespace qnative::json
