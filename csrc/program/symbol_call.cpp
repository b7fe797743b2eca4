#include <algorithm>
#include <array>
#include <cmath>

#include "calls.h"
#include "error.h"

namespace qnative::program {
namespace {

using c10::IValue;

// As Python sees a number: a bool is an integer.
struct Number {
  explicit Number(const IValue& value)
      : is_int(!value.isDouble()),
        integer(value.isBool() ? static_cast<int64_t>(value.toBool())
                : is_int       ? value.toInt()
                               : 0),
        real(is_int ? static_cast<double>(integer) : value.toDouble()) {}

  bool is_int;
  int64_t integer;
  double real;
};

// `result` by reference: it may be set by what tells whether it overflows.
int64_t checked(bool overflows, const int64_t& result) {
  if (overflows) fail("the result does not fit an int64");
  return result;
}

int64_t to_int(double value) {
  // 2^63 is a double, INT64_MAX is none.
  if (!(value >= -0x1p63 && value < 0x1p63)) fail("the result does not fit an int64");
  return static_cast<int64_t>(value);
}

IValue floor_divide(const Number& a, const Number& b) {
  if (b.real == 0) fail("division by zero");
  if (!a.is_int || !b.is_int) return std::floor(a.real / b.real);
  checked(a.integer == INT64_MIN && b.integer == -1, 0);
  const int64_t quotient = a.integer / b.integer;
  const bool rounds_up = a.integer % b.integer != 0 && (a.integer < 0) != (b.integer < 0);
  return quotient - (rounds_up ? 1 : 0);
}

IValue modulo(const Number& a, const Number& b) {
  if (b.real == 0) fail("division by zero");
  if (!a.is_int || !b.is_int) {
    const double rest = std::fmod(a.real, b.real);
    return rest != 0 && (rest < 0) != (b.real < 0) ? rest + b.real : rest;
  }
  if (b.integer == -1) return int64_t{0};
  const int64_t rest = a.integer % b.integer;
  return rest != 0 && (rest < 0) != (b.integer < 0) ? rest + b.integer : rest;
}

IValue power(const Number& a, const Number& b) {
  if (!a.is_int || !b.is_int || b.integer < 0) return std::pow(a.real, b.real);
  if (a.integer == 0 || a.integer == 1) return b.integer == 0 ? int64_t{1} : a.integer;
  if (a.integer == -1) return b.integer % 2 == 0 ? int64_t{1} : int64_t{-1};
  int64_t result = 1;
  for (int64_t i = 0; i < b.integer; ++i) {
    checked(__builtin_mul_overflow(result, a.integer, &result), 0);
  }
  return result;
}

IValue shift(const Number& a, const Number& b, bool left) {
  if (!a.is_int || !b.is_int || b.integer < 0) fail("shifts are by integers, not negative");
  if (!left) return a.integer >> std::min<int64_t>(b.integer, 63);
  int64_t result = 0;
  const bool is_large = a.integer != 0 && b.integer > 62;
  return checked(
      is_large || __builtin_mul_overflow(a.integer, int64_t{1} << std::min<int64_t>(b.integer, 62),
                                         &result),
      result);
}

// Calls integers(int64_t, int64_t) or reals(double, double).
template <class Integers, class Reals>
IValue either(const Number& a, const Number& b, const Integers& integers, const Reals& reals) {
  return a.is_int && b.is_int ? IValue(integers(a.integer, b.integer))
                              : IValue(reals(a.real, b.real));
}

template <class Compare>
IValue compare(const Number& a, const Number& b, const Compare& holds) {
  return either(a, b, holds, holds);
}

using Arguments = const std::vector<IValue>&;

Number at(Arguments a, size_t i) { return Number(a[i]); }

IValue number(const Number& value) {
  return value.is_int ? IValue(value.integer) : IValue(value.real);
}

struct Operator {
  std::string_view target;
  size_t arguments;
  IValue (*run)(Arguments);
};

#define QNATIVE_CHECKED(builtin)                    \
  [](int64_t x, int64_t y) {                        \
    int64_t result = 0;                             \
    return checked(builtin(x, y, &result), result); \
  }

constexpr std::array kOperators = {
    Operator{"_operator.add", 2,
             [](Arguments a) {
               return either(at(a, 0), at(a, 1), QNATIVE_CHECKED(__builtin_add_overflow),
                             [](double x, double y) { return x + y; });
             }},
    Operator{"_operator.sub", 2,
             [](Arguments a) {
               return either(at(a, 0), at(a, 1), QNATIVE_CHECKED(__builtin_sub_overflow),
                             [](double x, double y) { return x - y; });
             }},
    Operator{"_operator.mul", 2,
             [](Arguments a) {
               return either(at(a, 0), at(a, 1), QNATIVE_CHECKED(__builtin_mul_overflow),
                             [](double x, double y) { return x * y; });
             }},
    Operator{"_operator.truediv", 2,
             [](Arguments a) {
               if (at(a, 1).real == 0) fail("division by zero");
               return IValue(at(a, 0).real / at(a, 1).real);
             }},
    Operator{"_operator.floordiv", 2, [](Arguments a) { return floor_divide(at(a, 0), at(a, 1)); }},
    Operator{"_operator.mod", 2, [](Arguments a) { return modulo(at(a, 0), at(a, 1)); }},
    Operator{"_operator.pow", 2, [](Arguments a) { return power(at(a, 0), at(a, 1)); }},
    Operator{"_operator.lshift", 2, [](Arguments a) { return shift(at(a, 0), at(a, 1), true); }},
    Operator{"_operator.rshift", 2, [](Arguments a) { return shift(at(a, 0), at(a, 1), false); }},
    Operator{"_operator.neg", 1,
             [](Arguments a) {
               const Number x = at(a, 0);
               return x.is_int ? IValue(checked(x.integer == INT64_MIN, 0) - x.integer)
                               : IValue(-x.real);
             }},
    Operator{"_operator.pos", 1, [](Arguments a) { return number(at(a, 0)); }},
    Operator{"_operator.eq", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::equal_to<>()); }},
    Operator{"_operator.ne", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::not_equal_to<>()); }},
    Operator{"_operator.lt", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::less<>()); }},
    Operator{"_operator.le", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::less_equal<>()); }},
    Operator{"_operator.gt", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::greater<>()); }},
    Operator{"_operator.ge", 2,
             [](Arguments a) { return compare(at(a, 0), at(a, 1), std::greater_equal<>()); }},
    Operator{"_operator.and_", 2,
             [](Arguments a) {
               const Number x = at(a, 0), y = at(a, 1);
               return a[0].isBool() && a[1].isBool() ? IValue((x.integer & y.integer) != 0)
                                                     : IValue(x.integer & y.integer);
             }},
    Operator{"_operator.or_", 2,
             [](Arguments a) {
               const Number x = at(a, 0), y = at(a, 1);
               return a[0].isBool() && a[1].isBool() ? IValue((x.integer | y.integer) != 0)
                                                     : IValue(x.integer | y.integer);
             }},
    Operator{"torch.sym_not", 1, [](Arguments a) { return IValue(at(a, 0).real == 0); }},
    Operator{"torch.sym_int", 1,
             [](Arguments a) {
               const Number x = at(a, 0);
               return IValue(x.is_int ? x.integer : to_int(std::trunc(x.real)));
             }},
    Operator{"math.trunc", 1,
             [](Arguments a) {
               const Number x = at(a, 0);
               return IValue(x.is_int ? x.integer : to_int(std::trunc(x.real)));
             }},
    Operator{"math.floor", 1,
             [](Arguments a) {
               const Number x = at(a, 0);
               return IValue(x.is_int ? x.integer : to_int(std::floor(x.real)));
             }},
    Operator{"math.ceil", 1,
             [](Arguments a) {
               const Number x = at(a, 0);
               return IValue(x.is_int ? x.integer : to_int(std::ceil(x.real)));
             }},
    Operator{"torch.sym_float", 1, [](Arguments a) { return IValue(at(a, 0).real); }},
    Operator{"torch.sym_ite", 3, [](Arguments a) { return at(a, 0).real != 0 ? a[1] : a[2]; }},
    Operator{"torch.sym_max", 2,
             [](Arguments a) {
               const Number x = at(a, 0), y = at(a, 1);
               return either(
                   x, y, [](int64_t s, int64_t t) { return std::max(s, t); },
                   [](double s, double t) { return std::max(s, t); });
             }},
    Operator{"torch.sym_min", 2,
             [](Arguments a) {
               const Number x = at(a, 0), y = at(a, 1);
               return either(
                   x, y, [](int64_t s, int64_t t) { return std::min(s, t); },
                   [](double s, double t) { return std::min(s, t); });
             }},
    Operator{"torch._sym_sqrt", 1, [](Arguments a) { return IValue(std::sqrt(at(a, 0).real)); }},
};

#undef QNATIVE_CHECKED

class SymbolCall : public Call {
 public:
  SymbolCall(const Operator& op, std::vector<Argument> arguments, Slot output)
      : Call(std::move(arguments)), op_(op), output_(output) {}

  void run(Frame& frame) const override {
    std::vector<IValue>& values = frame.stack;
    values.clear();
    for (const Argument& argument : arguments_) values.push_back(argument.value(frame));
    frame[output_] = op_.run(values);
  }

 private:
  const Operator& op_;
  Slot output_;
};

}  // namespace

std::unique_ptr<Call> make_symbol_call(std::string_view target, std::vector<Argument> arguments,
                                       Slot output) {
  const auto* op = std::find_if(kOperators.begin(), kOperators.end(),
                                [&](const Operator& known) { return known.target == target; });
  if (op == kOperators.end()) return nullptr;
  if (arguments.size() != op->arguments) {
    fail("wanted ", op->arguments, " arguments, got ", arguments.size());
  }
  return std::make_unique<SymbolCall>(*op, std::move(arguments), output);
}

}  // namespace qnative::program
