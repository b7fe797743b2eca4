#include "text.h"

#include <algorithm>
#include <array>

#include "fields.h"
#include "json.h"

namespace qnative {
namespace text {

std::string dtype(std::optional<at::ScalarType> dtype) {
  return dtype ? std::string(c10::getDtypeNames(*dtype).first) : "";
}

std::string number(const at::Scalar& value) {
  if (value.isIntegral(/*includeBool=*/true)) return std::to_string(value.toLong());
  return json::number(value.toDouble());
}

std::string constraints(const DTypeWithConstraints& constraints) {
  static constexpr std::array<const char*, fields::kNumbers.size()> kShort = {
      "quant_min >= ", "quant_max <= ", "scale_min >= ", "scale_max <= "};
  std::string bounds;
  const auto add = [&](const std::string& bound) {
    bounds += (bounds.empty() ? "" : ", ") + bound;
  };
  for (size_t i = 0; i < kShort.size(); ++i) {
    if (const auto& bound = constraints.*fields::kNumbers[i].member) {
      add(kShort[i] + number(*bound));
    }
  }
  if (constraints.scale_exact_match) add("scale = " + number(*constraints.scale_exact_match));
  if (constraints.zero_point_exact_match) {
    add("zero_point = " + std::to_string(*constraints.zero_point_exact_match));
  }
  const std::string name = constraints.dtype ? dtype(constraints.dtype) : "-";
  return bounds.empty() ? name : name + "[" + bounds + "]";
}

std::string dtypes(const DTypeConfig& config) {
  std::string result = constraints(*config.input_dtype_with_constraints()) + " -> " +
                       constraints(*config.output_dtype_with_constraints());
  if (const auto weight = constraints(*config.weight_dtype_with_constraints()); weight != "-") {
    result += ", weight " + weight;
  }
  if (config.bias_dtype) result += ", bias " + dtype(config.bias_dtype);
  if (config.is_dynamic) result += *config.is_dynamic ? ", dynamic" : ", static";
  return result;
}

std::string pattern(const BackendPatternConfig& config, const Pattern& key) {
  if (config.pattern()) return config.pattern()->str();
  return config.pattern_complex_format() ? "nested " + config.pattern_complex_format()->str()
                                         : key.str() + " (no pattern)";
}

std::string columns(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string result;
  for (const auto& line : lines) {
    std::string row;
    for (size_t i = 0; i < line.size(); ++i) {
      row += line[i] + std::string(widths[i] - line[i].size() + 2, ' ');
    }
    result += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return result;
}

std::string table(std::vector<std::vector<std::string>> lines) {
  std::vector<std::string> rule(lines.front().size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      rule[i].resize(std::max(rule[i].size(), line[i].size()), '-');
    }
  }
  lines.insert(lines.begin() + 1, std::move(rule));
  return columns(lines);
}

}  // namespace text

namespace {

const char* short_name(ObservationType type) {
  switch (type) {
    case ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT:
      return "own";
    case ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT:
      return "shared";
    case ObservationType::INPUT_OUTPUT_NOT_OBSERVED:
      return "none";
  }
  return "";
}

const char* mode(const DTypeConfig& dtypes) {
  if (dtypes.is_dynamic.value_or(false)) return "dynamic";
  return dtypes.input_dtype() == at::kFloat ? "weight only" : "static";
}

}  // namespace

std::string BackendConfig::table() const {
  std::vector<std::vector<std::string>> lines = {
      {"pattern", "observer", "input", "output", "weight", "bias", "mode", "op"}};
  size_t pairs = 0;
  for (const auto& [key, config] : entries_) {
    const auto dtype_configs = config->dtype_configs();
    pairs += dtype_configs.size();
    std::string pattern = text::pattern(*config, key);
    std::string observer = short_name(config->observation_type());
    if (dtype_configs.empty()) {
      lines.push_back({pattern, observer, "-", "-", "-", "-", "-", config->op(0)});
    }
    for (size_t i = 0; i < dtype_configs.size(); ++i) {
      const DTypeConfig& dtypes = *dtype_configs.get(i);
      lines.push_back({std::move(pattern), std::move(observer),
                       text::constraints(*dtypes.input_dtype_with_constraints()),
                       text::constraints(*dtypes.output_dtype_with_constraints()),
                       text::constraints(*dtypes.weight_dtype_with_constraints()),
                       dtypes.bias_dtype ? text::dtype(dtypes.bias_dtype) : "-", mode(dtypes),
                       config->op(i)});
      // Written once for all DTypeConfigs of the row.
      pattern.clear();
      observer.clear();
    }
  }
  return (name_.empty() ? "unnamed" : name_) + ": " + std::to_string(entries_.size()) +
         " patterns, " + std::to_string(pairs) + " combinations of dtypes\n\n" +
         text::table(std::move(lines));
}

}  // namespace qnative
