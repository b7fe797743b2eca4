#pragma once

#include <ATen/ATen.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "expression.h"
#include "json.h"

// The sizes of inputs that torch.export left open, and its conditions on them.
//
// Variables are these sizes and the symbols that they are made of. A run sets the variables of its
// inputs, then check() finds the other symbols and checks equalities, ranges and guards.
namespace qnative::program {

class Sizes {
 public:
  // The variable of a size. `symbol`: its expression in sympy's notation; `source`: what messages
  // call it, "size 0 of input 'x'". Sizes with one plain symbol share its variable.
  int64_t add(const std::string& symbol, const std::string& source);

  // After all sizes are added. `ranges`: RangeConstraint by expression. `guards`: Python
  // expressions over paths such as "L['x'].size()[0]", which resolve() turns into values.
  void finish(const json::Value& ranges, const json::Value* guards, const Resolve& resolve);

  size_t count() const { return variables_.size(); }
  const std::string& source(int64_t variable) const {
    return variables_[static_cast<size_t>(variable)].source;
  }
  // "s77", for signatures.
  const std::string& text(int64_t variable) const {
    return variables_[static_cast<size_t>(variable)].text;
  }

  // Throws where sizes do not fit each other. Sets symbols that are no size themselves.
  void check(std::vector<int64_t>& values) const;

 private:
  struct Variable {
    std::string text;
    std::string source;  // empty: no input has just this size
  };
  // A size that is an expression of symbols.
  struct Derived {
    int64_t size;
    Expression expression;
    int64_t solved_for;  // the symbol that this size gives, -1: all are known
  };
  struct Range {
    Expression expression;
    std::string text;
    int64_t min, max;
  };
  struct Guard {
    Expression expression;
    std::string text;
  };

  int64_t symbol(std::string_view name);
  std::optional<Expression> parse(std::string_view text);
  // "s77 = 3 (size 0 of input 'x')", of the symbols of an expression.
  std::string explain(const Expression& expression, const std::vector<int64_t>& values) const;
  std::string text(const Expression& expression) const;
  void order_derived();
  bool is_linear(const Expression& expression, int64_t symbol) const;
  static void solve(const Derived& derived, std::vector<int64_t>& values);

  std::vector<Variable> variables_;
  std::vector<bool> is_known_;  // a size, or found from one
  std::unordered_map<std::string, int64_t> symbols_;
  std::vector<Derived> derived_;
  std::vector<Range> ranges_;
  std::vector<Guard> guards_;
};

}  // namespace qnative::program
