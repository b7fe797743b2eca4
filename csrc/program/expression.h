#pragma once

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Expressions over sizes, as torch.export writes them: sizes of tensors in the notation of
// sympy.srepr ("Mul(Integer(2), Symbol('s77', positive=True, integer=True))"), guards in Python's
// ("(L['x'].size()[0] % 2) == 0").
namespace qnative::program {

class Expression {
 public:
  enum class Op : uint8_t {
    kConstant,
    kVariable,
    kAdd,
    kSubtract,
    kMultiply,
    kFloorDivide,
    kCeilDivide,
    kTruncDivide,
    kTrueDivide,  // only while it is parsed: what rounds it makes one of the others of it
    kModulo,
    kPower,
    kMin,
    kMax,
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kAnd,
    kOr,
    kNot
  };

  static Expression constant(int64_t value) { return {Op::kConstant, value, {}}; }
  // values[index] of evaluate().
  static Expression variable(int64_t index) { return {Op::kVariable, index, {}}; }
  static Expression apply(Op op, std::vector<Expression> operands) {
    return {op, 0, std::move(operands)};
  }

  // Truth values are 0 and 1, operators are Python's. None where a number does not fit an int64, a
  // divisor is 0 or an exponent is negative.
  std::optional<int64_t> evaluate(c10::ArrayRef<int64_t> values) const;

  // trunc(a / b) and so on: of what is no quotient, nothing is left to round.
  Expression rounded(Op division) const;

  Op op() const { return op_; }
  // The index of a variable.
  int64_t value() const { return value_; }
  bool contains(Op op) const;
  void variables(std::vector<int64_t>& indices) const;
  // As Python writes it, with the names of variables.
  std::string text(const std::function<std::string(int64_t)>& name) const;

 private:
  Expression(Op op, int64_t value, std::vector<Expression> operands)
      : op_(op), value_(value), operands_(std::move(operands)) {}

  Op op_;
  int64_t value_;
  std::vector<Expression> operands_;
};

// The expression of an atom, "L['x'].size()[0]" or the name of a symbol; none if it is unknown.
using Resolve = std::function<std::optional<Expression>(std::string_view atom)>;

// None for text that it cannot read.
std::optional<Expression> parse_expression(std::string_view text, const Resolve& resolve);

}  // namespace qnative::program
