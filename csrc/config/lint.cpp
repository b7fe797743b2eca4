#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "qnative/config.h"
#include "text.h"

namespace qnative {
namespace {

struct Range {
  double low;
  double high;
};

template <typename T>
Range range_of() {
  return {static_cast<double>(std::numeric_limits<T>::min()),
          static_cast<double>(std::numeric_limits<T>::max())};
}

// The range of an integer dtype; std::nullopt for others.
std::optional<Range> range_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kQUInt8:
    case at::kByte:
      return range_of<uint8_t>();
    case at::kQInt8:
    case at::kChar:
      return range_of<int8_t>();
    case at::kQInt32:
    case at::kInt:
      return range_of<int32_t>();
    case at::kShort:
      return range_of<int16_t>();
    case at::kQUInt4x2:
      return Range{0, 15};
    case at::kQUInt2x4:
      return Range{0, 3};
    default:
      return std::nullopt;
  }
}

std::string str(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

std::string str(const Range& range) { return "[" + str(range.low) + ", " + str(range.high) + "]"; }

std::optional<double> number(const std::optional<at::Scalar>& value) {
  return value ? std::optional(value->toDouble()) : std::nullopt;
}

std::string pattern_of(const BackendPatternConfig& config) {
  const auto& pattern = config.pattern() ? config.pattern() : config.pattern_complex_format();
  return pattern ? pattern->str() : "";
}

// True for "torch.nn.Linear", false for "torch.nn.functional.linear".
bool is_class(const std::string& name) {
  const size_t last = name.rfind('.');
  return last != std::string::npos && last + 1 < name.size() &&
         std::isupper(static_cast<unsigned char>(name[last + 1])) != 0;
}

// Finds the problems of one row.
class RowLint {
 public:
  RowLint(size_t row, const BackendConfig& backend, std::vector<Finding>& findings)
      : row_(row),
        backend_(backend),
        key_(backend.entries()[row].first),
        config_(*backend.entries()[row].second),
        findings_(findings) {}

  void run() {
    check_pattern();
    check_dtype_configs();
    check_indices();
    check_modules();
    if (config_.pattern() && config_.pattern()->is_tuple()) {
      check_sequence(config_.pattern()->elements());
    } else if (config_.fuser_method()) {
      add("fuser_method", "there is nothing to fuse: the pattern is no sequence",
          "a tuple as pattern, or no fuser_method");
    }
  }

  void add(std::string field, std::string problem, std::string remedy) {
    findings_.push_back(
        {row_, pattern_of(config_), std::move(field), std::move(problem), std::move(remedy)});
  }

 private:
  void check_pattern() {
    if (!config_.pattern() && !config_.pattern_complex_format()) {
      add("pattern", "it has none: nothing matches", "set_pattern");
      return;
    }
    if (config_.pattern() && config_.pattern()->is_tuple()) {
      const size_t length = config_.pattern()->elements().size();
      if (length != 2 && length != 3) {
        add("pattern", "a sequence has 2 or 3 elements, got " + std::to_string(length),
            "a tuple of 2 or 3, or set_pattern_complex_format");
        return;
      }
    }
    if (config_.pattern_key() != key_) {
      add("pattern", "it was changed after the row was set, which is kept under " + key_.str(),
          "set_backend_pattern_config again, and erase the old key");
    }
    for (size_t i = 0; i < row_; ++i) {
      if (backend_.entries()[i].second->pattern() == config_.pattern() && config_.pattern()) {
        add("pattern", "row " + std::to_string(i) + " has the same pattern and comes first",
            "remove one of them");
        return;
      }
    }
  }

  void check_dtype_configs() {
    const auto dtypes = config_.dtype_configs();
    if (dtypes.empty()) {
      add("dtype_configs", "it supports no dtypes: the row never applies", "add_dtype_config");
    }
    const size_t ops = config_.ops().size();
    if (ops > 1 && ops != dtypes.size()) {
      add("ops",
          std::to_string(ops) + " names for " + std::to_string(dtypes.size()) + " dtype_configs",
          "one name, or one for each");
    }
    for (size_t i = 0; i < dtypes.size(); ++i) {
      const std::string field = "dtype_configs[" + std::to_string(i) + "]";
      check_dtypes(*dtypes.get(i), field);
      for (size_t j = 0; j < i; ++j) {
        if (covers(*dtypes.get(j), *dtypes.get(i))) {
          add(field,
              "it is never chosen: dtype_configs[" + std::to_string(j) +
                  "] before it takes all that it takes",
              "remove it, or put it first");
          break;
        }
      }
    }
  }

  static bool covers(const DTypeWithConstraints& a, const DTypeWithConstraints& b) {
    return !a.dtype || a == b || a == DTypeWithConstraints(b.dtype);
  }

  // Whether `a` accepts everything that `b` accepts.
  static bool covers(const DTypeConfig& a, const DTypeConfig& b) {
    return covers(*a.input_dtype_with_constraints(), *b.input_dtype_with_constraints()) &&
           covers(*a.output_dtype_with_constraints(), *b.output_dtype_with_constraints()) &&
           covers(*a.weight_dtype_with_constraints(), *b.weight_dtype_with_constraints()) &&
           (!a.bias_dtype || a.bias_dtype == b.bias_dtype) &&
           a.is_dynamic.value_or(false) == b.is_dynamic.value_or(false);
  }

  void check_dtypes(const DTypeConfig& dtypes, const std::string& field) {
    const auto& input = *dtypes.input_dtype_with_constraints();
    const auto& output = *dtypes.output_dtype_with_constraints();
    check_constraints(input, field + ".input_dtype_with_constraints.");
    check_constraints(output, field + ".output_dtype_with_constraints.");
    check_constraints(*dtypes.weight_dtype_with_constraints(),
                      field + ".weight_dtype_with_constraints.");
    if (dtypes.is_dynamic.value_or(false) && input.scale_exact_match) {
      add(field + ".input_dtype_with_constraints.scale_exact_match",
          "a dynamic input has the scale of its values", "remove it, or is_dynamic");
    }
    const bool shared =
        config_.observation_type() == ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT;
    if (shared && input.scale_exact_match && output.scale_exact_match &&
        (input.scale_exact_match != output.scale_exact_match ||
         input.zero_point_exact_match != output.zero_point_exact_match)) {
      add("observation_type",
          "input and output share one observer, and " + field +
              " wants another scale or zero point for each",
          "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT, or the same numbers");
    }
  }

  void check_constraints(const DTypeWithConstraints& c, const std::string& field) {
    if (c == DTypeWithConstraints(c.dtype)) return;
    if (!c.dtype) {
      add(field + "dtype", "constraints without a dtype are ignored", "set the dtype");
      return;
    }
    const auto range = range_of(*c.dtype);
    if (!range) {
      add(field + "dtype",
          std::string(c10::toString(*c.dtype)) + " is not quantized: it has no range, scale or " +
              "zero point to constrain",
          "remove the constraints, or a quantized dtype");
      return;
    }
    check_scales(c, field);
    check_range(c, *range, field);
  }

  void check_range(const DTypeWithConstraints& c, Range range, const std::string& field) {
    const auto low = number(c.quant_min_lower_bound);
    const auto high = number(c.quant_max_upper_bound);
    const std::string dtype = c10::toString(*c.dtype);
    const auto inside = [&](double value) { return value >= range.low && value <= range.high; };
    const auto check = [&](const std::optional<double>& bound, const char* name) {
      if (bound && !inside(*bound)) {
        add(field + name, str(*bound) + " lies outside of " + dtype + ", " + str(range),
            "a bound inside");
      }
    };
    check(low, "quant_min_lower_bound");
    check(high, "quant_max_upper_bound");
    if (low && high && *low > *high) {
      add(field + "quant_min_lower_bound",
          str(*low) + " is greater than quant_max_upper_bound " + str(*high) +
              ": no range lies inside",
          "exchange the bounds");
      return;
    }
    range = {std::max(range.low, low.value_or(range.low)),
             std::min(range.high, high.value_or(range.high))};
    const auto zero_point = c.zero_point_exact_match;
    if (zero_point && !inside(static_cast<double>(*zero_point))) {
      add(field + "zero_point_exact_match",
          std::to_string(*zero_point) + " lies outside of the values, " + str(range),
          "a zero point inside");
    }
  }

  void check_scales(const DTypeWithConstraints& c, const std::string& field) {
    const auto low = number(c.scale_min_lower_bound);
    const auto high = number(c.scale_max_upper_bound);
    const auto check = [&](const std::optional<double>& scale, const char* name) {
      if (scale && !(*scale > 0 && std::isfinite(*scale))) {
        add(field + name, "a scale is a positive number, got " + str(*scale), "a positive number");
      }
    };
    check(low, "scale_min_lower_bound");
    check(high, "scale_max_upper_bound");
    check(c.scale_exact_match, "scale_exact_match");
    if (low && high && *low > *high) {
      add(field + "scale_min_lower_bound",
          str(*low) + " is greater than scale_max_upper_bound " + str(*high) +
              ": no scale lies between",
          "exchange the bounds");
    } else if (c.scale_exact_match &&
               (*c.scale_exact_match < low.value_or(*c.scale_exact_match) ||
                *c.scale_exact_match > high.value_or(*c.scale_exact_match))) {
      add(field + "scale_exact_match",
          str(*c.scale_exact_match) + " lies outside of the bounds of the scale",
          "a scale inside, or no bounds");
    }
    if (c.scale_exact_match.has_value() != c.zero_point_exact_match.has_value()) {
      const char* set = c.scale_exact_match ? "scale_exact_match" : "zero_point_exact_match";
      const char* missing = c.scale_exact_match ? "zero_point_exact_match" : "scale_exact_match";
      add(field + set, std::string("it has no effect without ") + missing, "set both or none");
    }
  }

  void check_indices() {
    std::set<int64_t> taken;
    for (const auto& entry : config_.input_type_to_index()) {
      const std::string field = "input_type_to_index[" + entry.key() + "]";
      if (entry.value() < 0) {
        add(field, "a position is 0 or more, got " + std::to_string(entry.value()),
            "the position of the argument");
      } else if (!taken.insert(entry.value()).second) {
        add(field, "position " + std::to_string(entry.value()) + " is that of another input",
            "a position for each");
      }
    }
    for (const auto& entry : config_.num_tensor_args_to_observation_type()) {
      if (entry.key() < 0) {
        add("num_tensor_args_to_observation_type[" + std::to_string(entry.key()) + "]",
            "no call has so many tensor arguments", "0 or more");
      }
    }
  }

  bool has_quantized_weight() const {
    const auto dtypes = config_.dtype_configs();
    for (size_t i = 0; i < dtypes.size(); ++i) {
      const auto weight = dtypes.get(i)->weight_dtype();
      if (weight && range_of(*weight)) return true;
    }
    return false;
  }

  void check_modules() {
    if (config_.reference_quantized_module() && !config_.root_module()) {
      add("root_module", "reference_quantized_module stands for no module", "set_root_module");
    } else if (config_.root_module() && !config_.reference_quantized_module()) {
      add("reference_quantized_module", "root_module has no reference module: FX cannot convert it",
          "set_reference_quantized_module");
    }
    const bool single = config_.pattern() && !config_.pattern()->is_tuple();
    if (single && has_quantized_weight()) {
      const std::string& name = config_.pattern()->name();
      if (is_class(name) && !config_.root_module() && !config_.reference_quantized_module()) {
        add("root_module", "the weight of the module is quantized, and FX finds it by root_module",
            "set_root_module and set_reference_quantized_module");
      } else if (!is_class(name) && name.find('.') != std::string::npos &&
                 !config_.input_type_to_index().contains("weight")) {
        add("input_type_to_index",
            "the weight of the function is quantized, and FX finds it by position",
            "set_input_type_to_index with \"weight\"");
      }
    }
    if (qat_modules_form_a_cycle()) {
      add("qat_module", "the rows of the qat_modules lead back to this one",
          "no qat_module in the row of a qat_module");
    }
  }

  bool qat_modules_form_a_cycle() const {
    auto row = backend_.entries()[row_].second;
    std::set<const BackendPatternConfig*> seen;
    while (row && row->qat_module() && !row->qat_module()->empty()) {
      if (!seen.insert(row.get()).second) return row.get() == &config_;
      row = backend_.find(*row->qat_module());
    }
    return false;
  }

  void check_sequence(const std::vector<Pattern>& parts) {
    if (!parts.empty() && !parts[0].is_tuple() && !backend_.find(parts[0])) {
      add("pattern", "its first part, " + parts[0].str() + ", has no row of its own",
          "add one: without the rest of the sequence that part stays float");
    }
    const auto& fused = config_.fused_module();
    if (!fused || fused->empty()) return;
    if (!config_.fuser_method()) {
      add("fuser_method", "nothing makes the fused_module", "set_fuser_method");
    }
    if (std::find(parts.begin(), parts.end(), Pattern(*fused)) != parts.end()) {
      add("fused_module", "it is a part of its own pattern", "a module of its own");
    } else if (!backend_.find(*fused)) {
      add("fused_module", "no row has it as pattern: what was fused is not quantized",
          "add a row for " + *fused);
    }
  }

  size_t row_;
  const BackendConfig& backend_;
  const Pattern& key_;
  const BackendPatternConfig& config_;
  std::vector<Finding>& findings_;
};

// Adds what validate() found for a row: once if one op name is for all DTypeConfigs.
void add_missing_kernel(RowLint& lint, const MissingKernel& missing) {
  const auto& config = *missing.config;
  const size_t i = missing.dtype_config;
  const bool by_index = config.ops().size() > 1;
  if (i > 0 && !by_index) return;
  const std::string ops = by_index ? "ops[" + std::to_string(i) + "]" : "ops";
  switch (missing.cause) {
    case MissingKernelCause::IMPOSSIBLE_PATTERN:
      return lint.add("pattern", missing.reason, "remove the row");
    case MissingKernelCause::NO_OP:
      return lint.add(ops, missing.reason, "set_ops");
    case MissingKernelCause::NO_KERNEL:
      return lint.add(ops, missing.reason, "load the library that registers it, or set_ops");
  }
}

}  // namespace

std::vector<Finding> BackendConfig::lint() const {
  const auto missing = validate();
  auto next = missing.begin();
  std::vector<Finding> findings;
  for (size_t row = 0; row < entries_.size(); ++row) {
    RowLint lint(row, *this, findings);
    lint.run();
    for (; next != missing.end() && next->config == entries_[row].second; ++next) {
      add_missing_kernel(lint, *next);
    }
  }
  return findings;
}

std::string to_table(const std::vector<Finding>& findings) {
  if (findings.empty()) return "";
  std::vector<std::vector<std::string>> lines = {{"row", "pattern", "field", "problem", "remedy"}};
  for (const auto& f : findings) {
    lines.push_back({std::to_string(f.row), f.pattern, f.field, f.problem, f.remedy});
  }
  return text::columns(lines);
}

}  // namespace qnative
