#include "expression.h"

#include <gtest/gtest.h>

namespace qnative::program {
namespace {

// a is variable 0, b variable 1.
std::optional<Expression> parse(std::string_view text) {
  return parse_expression(text, [](std::string_view atom) -> std::optional<Expression> {
    if (atom == "a" || atom == "L['x'].size()[0]") return Expression::variable(0);
    if (atom == "b" || atom == "L['d']['a'][0]") return Expression::variable(1);
    return std::nullopt;
  });
}

std::optional<int64_t> value(std::string_view text, int64_t a = 0, int64_t b = 0) {
  const auto expression = parse(text);
  if (!expression) ADD_FAILURE() << text << " is not read";
  return expression ? expression->evaluate({a, b}) : std::nullopt;
}

TEST(Expression, PythonsArithmetic) {
  EXPECT_EQ(value("1 + 2 * 3 - 4"), 3);
  EXPECT_EQ(value("(1 + 2) * 3"), 9);
  EXPECT_EQ(value("-7 // 2"), -4);
  EXPECT_EQ(value("-7 % 3"), 2);
  EXPECT_EQ(value("7 % -3"), -2);
  EXPECT_EQ(value("2**3**2"), 512);
  EXPECT_EQ(value("-2**2"), -4);
  EXPECT_EQ(value("a*b + 1", 3, 5), 16);
  EXPECT_EQ(value("max(a, b, 4) - min(a, b)", 1, 9), 8);
  EXPECT_EQ(value("math.trunc(a / 2)", -7), -3);
  EXPECT_EQ(value("math.floor(a / 2)", -7), -4);
  EXPECT_EQ(value("math.ceil(a / 2)", 7), 4);
}

TEST(Expression, Truth) {
  EXPECT_EQ(value("1 < a <= 3 and not b == 2", 3, 1), 1);
  EXPECT_EQ(value("1 < a <= 3 and not b == 2", 4, 1), 0);
  EXPECT_EQ(value("a != 0 or b >= 1", 0, 0), 0);
  EXPECT_EQ(value("(L['x'].size()[0] % 2) == 0 and L['d']['a'][0] > 3", 4, 5), 1);
}

TEST(Expression, SympysNotation) {
  const auto expression = parse_expression(
      "Add(Mul(Integer(2), Symbol('s77', positive=True, integer=True)), Integer(-1))",
      [](std::string_view name) -> std::optional<Expression> {
        return name == "s77" ? std::optional(Expression::variable(0)) : std::nullopt;
      });
  ASSERT_TRUE(expression);
  EXPECT_EQ(expression->evaluate({5}), 9);
  EXPECT_EQ(expression->text([](int64_t) { return "s77"; }), "(2 * s77) + -1");
}

TEST(Expression, NoNumber) {
  EXPECT_EQ(value("a // b", 1, 0), std::nullopt);
  EXPECT_EQ(value("a % b", 1, 0), std::nullopt);
  EXPECT_EQ(value("a + b", INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(value("a * b", INT64_MAX, 2), std::nullopt);
  EXPECT_EQ(value("a // b", INT64_MIN, -1), std::nullopt);
  EXPECT_EQ(value("a ** b", 2, 64), std::nullopt);
  EXPECT_EQ(value("a ** b", 2, -1), std::nullopt);
}

TEST(Expression, NotRead) {
  for (const std::string text : {"", "(", "1 +", "a b", "c", "a / 2 == 1", "1.5", "a[0]", "f(a)",
                                 "L['x'", "L['y'].size()[0]", "99999999999999999999",
                                 "Symbol('a', positive=True", "Integer(a)", "a if b else 1"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
  EXPECT_FALSE(parse(std::string(1000, '(')));
  EXPECT_FALSE(parse(std::string(1000, '-') + "1"));
  EXPECT_FALSE(parse("1" + std::string(100000, '+') + "1"));
}

}  // namespace
}  // namespace qnative::program
