#pragma once

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "qnative/config.h"

// Configs as text.
namespace qnative::text {

// The Python name, "quint8"; "" for no dtype.
std::string dtype(std::optional<at::ScalarType> dtype);

// The shortest decimal number that reads back as the same value; a double has a point or an
// exponent.
std::string number(const at::Scalar& value);

// "quint8", "quint8[quant_min >= 0, scale = 0.5]"; "-" for no dtype.
std::string constraints(const DTypeWithConstraints& constraints);

// "quint8 -> float32, weight qint8, bias float32, dynamic". Different for configs that differ.
std::string dtypes(const DTypeConfig& config);

// The pattern of a row as it was set: in the order of execution, or "nested (...)" for the reversed
// nested format. For a row without one, its key.
std::string pattern(const BackendPatternConfig& config, const Pattern& key);

// "{bias: 2, weight: 1}", sorted.
template <typename Key>
std::string dict(const c10::Dict<Key, int64_t>& dict) {
  std::map<Key, int64_t> sorted;
  for (const auto& item : dict) sorted.emplace(item.key(), item.value());
  std::ostringstream result;
  for (const auto& [key, value] : sorted) {
    result << (result.tellp() == 0 ? "{" : ", ") << key << ": " << value;
  }
  return sorted.empty() ? "{}" : result.str() + "}";
}

// Lines of cells in columns as wide as their longest cell.
std::string columns(const std::vector<std::vector<std::string>>& lines);

// The same with a rule below the first line, the header.
std::string table(std::vector<std::vector<std::string>> lines);

}  // namespace qnative::text
