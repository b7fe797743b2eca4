#include "sizes.h"

#include <algorithm>
#include <array>
#include <limits>

#include "error.h"
#include "fields.h"

namespace qnative::program {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

int64_t limit(const json::Value& range, const char* name, int64_t none) {
  const json::Value* value = find(range, name);
  const auto* number = value == nullptr ? nullptr : std::get_if<int64_t>(&value->data);
  return number == nullptr ? none : *number;
}

}  // namespace

int64_t Sizes::symbol(std::string_view name) {
  const auto next = static_cast<int64_t>(variables_.size());
  const auto [found, is_new] = symbols_.try_emplace(std::string(name), next);
  if (is_new) variables_.push_back({std::string(name), ""});
  return found->second;
}

std::string Sizes::text(const Expression& expression) const {
  return expression.text([this](int64_t i) { return variables_[static_cast<size_t>(i)].text; });
}

std::optional<Expression> Sizes::parse(std::string_view text) {
  return parse_expression(text, [this](std::string_view name) -> std::optional<Expression> {
    return Expression::variable(symbol(name));
  });
}

int64_t Sizes::add(const std::string& text, const std::string& source) {
  const auto expression = parse(text);
  if (expression && expression->op() == Expression::Op::kVariable) {
    Variable& variable = variables_[static_cast<size_t>(expression->value())];
    if (variable.source.empty()) variable.source = source;
    return expression->value();
  }
  const auto size = static_cast<int64_t>(variables_.size());
  // An expression that cannot be read is any size.
  variables_.push_back({expression ? this->text(*expression) : text, source});
  if (expression) derived_.push_back({size, *expression, -1});
  return size;
}

void Sizes::finish(const json::Value& ranges, const json::Value* guards, const Resolve& resolve) {
  order_derived();
  const auto known = [this](std::string_view name) -> std::optional<Expression> {
    const auto found = symbols_.find(std::string(name));
    if (found == symbols_.end() || !is_known_[static_cast<size_t>(found->second)]) {
      return std::nullopt;
    }
    return Expression::variable(found->second);
  };
  for (const auto& [text, range] : object(ranges)) {
    const auto expression = parse_expression(text, known);
    int64_t min = limit(range, "min_val", 0);
    const int64_t max = limit(range, "max_val", kNoLimit);
    // torch.export assumes 2 where it was told nothing, and takes 0 and 1 all the same.
    if (min <= 2) min = 0;
    if (expression && (min > 0 || max < kNoLimit)) ranges_.push_back({*expression, text, min, max});
  }
  if (guards == nullptr) return;
  for (const json::Value& guard : array(*guards)) {
    const auto expression = parse_expression(program::text(guard), resolve);
    if (expression) {
      guards_.push_back({*expression, program::text(guard)});
    } else {
      TORCH_WARN("qnative::Program: the guard ", program::text(guard), " is not checked");
    }
  }
}

// Each size that is the first to hold an unknown symbol gives that symbol.
void Sizes::order_derived() {
  is_known_.clear();
  for (const Variable& variable : variables_) is_known_.push_back(!variable.source.empty());
  std::vector<Derived> ordered;
  for (bool found = true; found;) {
    found = false;
    for (auto derived = derived_.begin(); derived != derived_.end();) {
      std::vector<int64_t> unknown;
      derived->expression.variables(unknown);
      std::erase_if(unknown, [&](int64_t i) { return is_known_[static_cast<size_t>(i)]; });
      const bool is_linear =
          unknown.size() == 1 && this->is_linear(derived->expression, unknown[0]);
      if (!unknown.empty() && !is_linear) {
        ++derived;
        continue;
      }
      if (is_linear) is_known_[static_cast<size_t>(derived->solved_for = unknown[0])] = true;
      ordered.push_back(std::move(*derived));
      derived = derived_.erase(derived);
      found = true;
    }
  }
  derived_ = std::move(ordered);  // the rest may have any size
}

// In the `symbol`-th variable.
bool Sizes::is_linear(const Expression& expression, int64_t symbol) const {
  std::vector<int64_t> values(variables_.size(), 3);
  std::array<std::optional<int64_t>, 4> at;
  for (int64_t i = 0; i < 4; ++i) {
    values[static_cast<size_t>(symbol)] = i;
    at[static_cast<size_t>(i)] = expression.evaluate(values);
    if (!at[static_cast<size_t>(i)]) return false;
  }
  const int64_t slope = *at[1] - *at[0];
  return slope != 0 && *at[2] - *at[1] == slope && *at[3] - *at[2] == slope;
}

std::string Sizes::explain(const Expression& expression, const std::vector<int64_t>& values) const {
  std::vector<int64_t> used;
  expression.variables(used);
  std::string result;
  for (const int64_t i : used) {
    const Variable& variable = variables_[static_cast<size_t>(i)];
    result +=
        c10::str(result.empty() ? "" : ", ", variable.text, " = ", values[static_cast<size_t>(i)]);
    if (!variable.source.empty()) result += c10::str(" (", variable.source, ")");
  }
  return result;
}

// f(s) = f(0) + s * (f(1) - f(0))
void Sizes::solve(const Derived& derived, std::vector<int64_t>& values) {
  int64_t& symbol = values[static_cast<size_t>(derived.solved_for)];
  symbol = 0;
  const auto at_0 = derived.expression.evaluate(values);
  symbol = 1;
  const auto at_1 = derived.expression.evaluate(values);
  symbol = -1;
  if (at_0 && at_1 && *at_1 != *at_0) {
    symbol = (values[static_cast<size_t>(derived.size)] - *at_0) / (*at_1 - *at_0);
  }
}

void Sizes::check(std::vector<int64_t>& values) const {
  for (const Derived& derived : derived_) {
    if (derived.solved_for >= 0) solve(derived, values);
    const Variable& size = variables_[static_cast<size_t>(derived.size)];
    const int64_t got = values[static_cast<size_t>(derived.size)];
    const auto wanted = derived.expression.evaluate(values);
    if (wanted == got) continue;
    if (derived.solved_for >= 0) fail(size.source, " is ", got, ", wanted ", size.text);
    fail(size.source, " is ", got, ", wanted ", size.text, " = ", wanted.value_or(-1), ", where ",
         explain(derived.expression, values));
  }
  for (const Range& range : ranges_) {
    const auto value = range.expression.evaluate(values);
    if (value && *value >= range.min && *value <= range.max) continue;
    const std::string limits = range.max == kNoLimit ? c10::str("at least ", range.min)
                               : range.min <= 0      ? c10::str("at most ", range.max)
                                                     : c10::str(range.min, " to ", range.max);
    const bool is_size = range.expression.op() == Expression::Op::kVariable &&
                         !source(range.expression.value()).empty();
    if (is_size) fail(source(range.expression.value()), " is ", *value, ", wanted ", limits);
    fail(range.text, " is ", value.value_or(-1), ", wanted ", limits, ", where ",
         explain(range.expression, values));
  }
  for (const Guard& guard : guards_) {
    if (guard.expression.evaluate(values).value_or(0) == 0) {
      fail("the program was exported for inputs with ", guard.text);
    }
  }
}

}  // namespace qnative::program
