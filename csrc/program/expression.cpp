#include "expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace qnative::program {
namespace {

using Op = Expression::Op;
using Number = std::optional<int64_t>;

Number floor_divide(int64_t a, int64_t b) {
  if (b == 0 || (a == INT64_MIN && b == -1)) return std::nullopt;
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

Number power(int64_t base, int64_t exponent) {
  if (exponent < 0) return std::nullopt;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  int64_t result = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return std::nullopt;
  }
  return result;
}

Number apply(Op op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Op::kAdd:
      return __builtin_add_overflow(a, b, &result) ? Number() : result;
    case Op::kSubtract:
      return __builtin_sub_overflow(a, b, &result) ? Number() : result;
    case Op::kMultiply:
      return __builtin_mul_overflow(a, b, &result) ? Number() : result;
    case Op::kFloorDivide:
      return floor_divide(a, b);
    case Op::kCeilDivide: {
      const Number quotient = floor_divide(a, b);
      return quotient && a % b != 0 ? Number(*quotient + 1) : quotient;
    }
    case Op::kTruncDivide:
      return b == 0 || (a == INT64_MIN && b == -1) ? Number() : a / b;
    case Op::kModulo: {
      const Number quotient = floor_divide(a, b);
      return quotient ? Number(a - *quotient * b) : Number();
    }
    case Op::kPower:
      return power(a, b);
    case Op::kMin:
      return std::min(a, b);
    case Op::kMax:
      return std::max(a, b);
    case Op::kEqual:
      return a == b;
    case Op::kNotEqual:
      return a != b;
    case Op::kLess:
      return a < b;
    case Op::kLessEqual:
      return a <= b;
    case Op::kGreater:
      return a > b;
    case Op::kGreaterEqual:
      return a >= b;
    case Op::kAnd:
      return a != 0 && b != 0;
    case Op::kOr:
      return a != 0 || b != 0;
    default:
      return std::nullopt;
  }
}

struct Name {
  std::string_view text;
  Op op;
};

// Both notations' functions: sympy's and Python's.
constexpr std::array<Name, 17> kFunctions = {{
    {"Add", Op::kAdd},
    {"Mul", Op::kMultiply},
    {"FloorDiv", Op::kFloorDivide},
    {"CleanDiv", Op::kFloorDivide},
    {"CeilDiv", Op::kCeilDivide},
    {"Mod", Op::kModulo},
    {"PythonMod", Op::kModulo},
    {"Pow", Op::kPower},
    {"PowByNatural", Op::kPower},
    {"Min", Op::kMin},
    {"min", Op::kMin},
    {"Max", Op::kMax},
    {"max", Op::kMax},
    {"Equality", Op::kEqual},
    {"Unequality", Op::kNotEqual},
    {"And", Op::kAnd},
    {"Or", Op::kOr},
}};

// Functions that round a quotient.
constexpr std::array<Name, 4> kRounding = {{
    {"trunc", Op::kTruncDivide},
    {"int", Op::kTruncDivide},
    {"floor", Op::kFloorDivide},
    {"ceil", Op::kCeilDivide},
}};

template <size_t n>
std::optional<Op> look_up(const std::array<Name, n>& names, std::string_view text) {
  for (const Name& name : names) {
    if (name.text == text) return name.op;
  }
  return std::nullopt;
}

// A recursive descent. Every level gives none for text of another form.
class Parser {
 public:
  Parser(std::string_view text, const Resolve& resolve) : text_(text), resolve_(resolve) {}

  std::optional<Expression> whole() {
    if (text_.size() > kMaxLength) return std::nullopt;
    auto result = either();
    skip_space();
    return position_ == text_.size() && !has_quotient(result) ? result : std::nullopt;
  }

 private:
  using Result = std::optional<Expression>;

  static bool has_quotient(const Result& result) {
    return result && result->contains(Op::kTrueDivide);
  }

  // Guards are short; bounds keep a hostile text from exhausting the stack, here and in evaluate().
  static constexpr int kMaxDepth = 100;
  static constexpr size_t kMaxLength = 10000;

  void skip_space() {
    while (position_ < text_.size() && text_[position_] == ' ') ++position_;
  }
  std::string_view rest() const { return text_.substr(position_); }

  bool take(std::string_view token) {
    skip_space();
    if (!rest().starts_with(token)) return false;
    position_ += token.size();
    return true;
  }

  // A word is no part of a longer one.
  bool take_word(std::string_view word) {
    skip_space();
    if (name_ahead() != word) return false;
    position_ += word.size();
    return true;
  }

  std::string_view name_ahead() const {
    const std::string_view all = rest();
    size_t size = 0;
    while (size < all.size() &&
           (std::isalnum(static_cast<unsigned char>(all[size])) != 0 || all[size] == '_')) {
      ++size;
    }
    return all.substr(0, size);
  }

  template <class Next>
  static Result join(Op op, Result left, const Next& next) {
    if (!left) return left;
    Result right = next();
    if (!right) return right;
    return Expression::apply(op, {*std::move(left), *std::move(right)});
  }

  Result either() {
    if (++depth_ > kMaxDepth) return std::nullopt;
    Result left = both();
    while (left && take_word("or")) left = join(Op::kOr, std::move(left), [&] { return both(); });
    --depth_;
    return left;
  }

  Result both() {
    Result left = negation();
    while (left && take_word("and")) {
      left = join(Op::kAnd, std::move(left), [&] { return negation(); });
    }
    return left;
  }

  Result negation() {
    if (!take_word("not")) return comparison();
    Result operand = comparison();
    if (!operand) return operand;
    return Expression::apply(Op::kNot, {*std::move(operand)});
  }

  std::optional<Op> comparison_sign() {
    if (take("==")) return Op::kEqual;
    if (take("!=")) return Op::kNotEqual;
    if (take("<=")) return Op::kLessEqual;
    if (take(">=")) return Op::kGreaterEqual;
    if (take("<")) return Op::kLess;
    if (take(">")) return Op::kGreater;
    return std::nullopt;
  }

  // a < b < c is a < b and b < c.
  Result comparison() {
    Result left = sum();
    Result all;
    while (left) {
      const auto op = comparison_sign();
      if (!op) return all ? all : left;
      Result right = sum();
      if (!right) return right;
      Expression step = Expression::apply(*op, {*left, *right});
      all = all ? Expression::apply(Op::kAnd, {*std::move(all), std::move(step)}) : std::move(step);
      left = std::move(right);
    }
    return left;
  }

  Result sum() {
    Result left = product();
    while (left) {
      const bool is_sum = take("+");
      if (!is_sum && !take("-")) return left;
      left = join(is_sum ? Op::kAdd : Op::kSubtract, std::move(left), [&] { return product(); });
    }
    return left;
  }

  Result product() {
    Result left = factor();
    while (left) {
      Op op;
      if (take("//")) {
        op = Op::kFloorDivide;
      } else if (take("*")) {
        op = Op::kMultiply;
      } else if (take("/")) {
        op = Op::kTrueDivide;
      } else if (take("%")) {
        op = Op::kModulo;
      } else {
        return left;
      }
      left = join(op, std::move(left), [&] { return factor(); });
    }
    return left;
  }

  Result factor() {
    if (++depth_ > kMaxDepth) return std::nullopt;
    Result result = take("-")
                        ? join(Op::kSubtract, Expression::constant(0), [&] { return factor(); })
                        : raised();
    --depth_;
    return result;
  }

  Result raised() {
    Result base = atom();
    return base && take("**") ? join(Op::kPower, std::move(base), [&] { return factor(); }) : base;
  }

  Result atom() {
    if (take("(")) {
      Result inner = either();
      return inner && take(")") ? std::move(inner) : std::nullopt;
    }
    skip_space();
    const std::string_view name = name_ahead();
    if (name.empty()) return std::nullopt;
    if (std::isdigit(static_cast<unsigned char>(name[0])) != 0) return number(name);
    if (name == "L") return path();
    position_ += name.size();
    if (name == "math" && take(".")) return atom();
    if (!take("(")) return resolve_(name);
    if (name == "Symbol") return symbol();
    if (name == "Integer") {
      const bool is_negative = take("-");
      skip_space();
      Result value = number(name_ahead());
      if (!value || !take(")")) return std::nullopt;
      return is_negative ? Expression::constant(-value->value()) : *value;
    }
    return function(name);
  }

  Result number(std::string_view digits) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
    if (error != std::errc() || end != digits.end()) return std::nullopt;
    position_ += digits.size();
    if (rest().starts_with('.')) return std::nullopt;
    return Expression::constant(value);
  }

  // L['x'].size()[0]
  Result path() {
    const size_t start = position_++;
    while (position_ < text_.size()) {
      if (text_[position_] == '[') {
        position_ = std::min(text_.find(']', position_), text_.size() - 1) + 1;
      } else if (text_[position_] == '.') {
        ++position_;
        position_ += name_ahead().size();
      } else if (rest().starts_with("()")) {
        position_ += 2;
      } else {
        break;
      }
    }
    return resolve_(text_.substr(start, position_ - start));
  }

  // 's77', positive=True, integer=True)
  Result symbol() {
    if (!take("'")) return std::nullopt;
    const std::string_view name = name_ahead();
    position_ += name.size();
    if (!take("'")) return std::nullopt;
    while (take(",")) {
      skip_space();
      position_ += name_ahead().size();
      if (!take("=")) return std::nullopt;
      position_ += name_ahead().size();
    }
    return take(")") ? resolve_(name) : std::nullopt;
  }

  Result function(std::string_view name) {
    Result left = either();
    if (const auto rounding = look_up(kRounding, name)) {
      if (left) left = left->rounded(*rounding);
    } else if (const auto op = look_up(kFunctions, name)) {
      while (left && take(",")) left = join(*op, std::move(left), [&] { return either(); });
    } else {
      return std::nullopt;
    }
    return left && take(")") ? std::move(left) : std::nullopt;
  }

  std::string_view text_;
  const Resolve& resolve_;
  size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace

std::optional<int64_t> Expression::evaluate(c10::ArrayRef<int64_t> values) const {
  if (op_ == Op::kConstant) return value_;
  if (op_ == Op::kVariable) return values[static_cast<size_t>(value_)];
  const Number left = operands_[0].evaluate(values);
  if (!left) return left;
  if (op_ == Op::kNot) return *left == 0;
  const Number right = operands_[1].evaluate(values);
  return right ? program::apply(op_, *left, *right) : right;
}

Expression Expression::rounded(Op division) const {
  return op_ == Op::kTrueDivide ? apply(division, operands_) : *this;
}

bool Expression::contains(Op op) const {
  return op_ == op || std::any_of(operands_.begin(), operands_.end(),
                                  [op](const Expression& operand) { return operand.contains(op); });
}

std::string Expression::text(const std::function<std::string(int64_t)>& name) const {
  static constexpr std::array<std::string_view, 22> kSigns = {
      "",    "",    "+",  "-",  "*", "//", "ceildiv", "truncdiv", "/",   "%",  "**",
      "min", "max", "==", "!=", "<", "<=", ">",       ">=",       "and", "or", "not"};
  const auto sign = std::string(kSigns[static_cast<size_t>(op_)]);
  const auto operand = [&](size_t i) {
    const std::string inner = operands_[i].text(name);
    return operands_[i].operands_.empty() ? inner : "(" + inner + ")";
  };
  if (op_ == Op::kConstant) return std::to_string(value_);
  if (op_ == Op::kVariable) return name(value_);
  if (op_ == Op::kNot) return sign + " " + operand(0);
  if (op_ == Op::kMin || op_ == Op::kMax) {
    return sign + "(" + operands_[0].text(name) + ", " + operands_[1].text(name) + ")";
  }
  return operand(0) + " " + sign + " " + operand(1);
}

void Expression::variables(std::vector<int64_t>& indices) const {
  if (op_ == Op::kVariable && std::find(indices.begin(), indices.end(), value_) == indices.end()) {
    indices.push_back(value_);
  }
  for (const Expression& operand : operands_) operand.variables(indices);
}

std::optional<Expression> parse_expression(std::string_view text, const Resolve& resolve) {
  return Parser(text, resolve).whole();
}

}  // namespace qnative::program
