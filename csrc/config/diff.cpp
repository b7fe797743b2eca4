#include <algorithm>

#include "fields.h"
#include "qnative/algebra.h"
#include "text.h"

namespace qnative {
namespace {

using Text = std::optional<std::string>;
using Row = BackendPatternConfig;
using DTypeConfigs = Row::DTypeConfigs;

// The DTypeConfigs of a list, one after the other.
std::string all_dtypes(const DTypeConfigs& list) {
  std::string result;
  for (size_t i = 0; i < list.size(); ++i) {
    result += (i == 0 ? "" : "; ") + text::dtypes(*list.get(i));
  }
  return result.empty() ? "no dtypes" : result;
}

template <typename Key>
Text set_dict(const c10::Dict<Key, int64_t>& dict) {
  return dict.empty() ? Text() : text::dict(dict);
}

Text set_op(const Row& row, size_t dtype_config) {
  std::string op = row.op(dtype_config);
  return op.empty() ? Text() : op;
}

class Differ {
 public:
  void add(const std::string& field, const Text& a, const Text& b) {
    if (a != b) differences_.push_back({pattern_, field, a, b});
  }

  void row(const Pattern& key, const Row* a, const Row* b) {
    pattern_ = text::pattern(a != nullptr ? *a : *b, key);
    if (a != nullptr && b != nullptr) {
      fields(key, *a, *b);
    } else {
      add("row", a != nullptr ? Text(all_dtypes(a->dtype_configs())) : Text(),
          b != nullptr ? Text(all_dtypes(b->dtype_configs())) : Text());
    }
  }

  std::vector<Difference> result() && { return std::move(differences_); }

 private:
  void fields(const Pattern& key, const Row& a, const Row& b) {
    add("pattern", text::pattern(a, key), text::pattern(b, key));
    add("observation_type", toString(a.observation_type()), toString(b.observation_type()));
    dtypes_and_ops(a, b);
    for (const auto& field : fields::kNames) add(field.name, (a.*field.get)(), (b.*field.get)());
    add("num_tensor_args_to_observation_type", set_dict(a.num_tensor_args_to_observation_type()),
        set_dict(b.num_tensor_args_to_observation_type()));
    add("input_type_to_index", set_dict(a.input_type_to_index()),
        set_dict(b.input_type_to_index()));
  }

  void dtypes_and_ops(const Row& a, const Row& b) {
    const auto in_a = a.dtype_configs();
    const auto in_b = b.dtype_configs();
    const bool same = fields::equal(in_a, in_b);
    bool only_order = !same;
    for (size_t i = 0; i < in_a.size(); ++i) {
      const auto other = same ? std::optional(i) : fields::position(in_b, *in_a.get(i));
      if (other) {
        add("ops", set_op(a, i), set_op(b, *other));
      } else {
        add("dtype_configs", text::dtypes(*in_a.get(i)), std::nullopt);
        only_order = false;
      }
    }
    for (size_t i = 0; i < in_b.size(); ++i) {
      if (!same && !fields::position(in_a, *in_b.get(i))) {
        add("dtype_configs", std::nullopt, text::dtypes(*in_b.get(i)));
        only_order = false;
      }
    }
    if (in_a.empty() && in_b.empty()) add("ops", set_op(a, 0), set_op(b, 0));
    if (only_order) add("dtype_configs", all_dtypes(in_a), all_dtypes(in_b));
  }

  std::string pattern_;
  std::vector<Difference> differences_;
};

// The first rows that the two configs have in different order, as text.
std::pair<Text, Text> order(const BackendConfig& a, const BackendConfig& b) {
  const auto common = [](const BackendConfig& config, const BackendConfig& other) {
    std::vector<BackendConfig::Entry> rows;
    for (const auto& entry : config.entries()) {
      if (other.find(entry.first)) rows.push_back(entry);
    }
    return rows;
  };
  const auto in_a = common(a, b);
  const auto in_b = common(b, a);
  for (size_t i = 0; i < in_a.size(); ++i) {
    if (in_a[i].first != in_b[i].first) {
      return {text::pattern(*in_a[i].second, in_a[i].first),
              text::pattern(*in_b[i].second, in_b[i].first)};
    }
  }
  return {};
}

}  // namespace

std::vector<Difference> diff(const BackendConfig& a, const BackendConfig& b) {
  Differ differ;
  differ.add("name", a.name(), b.name());
  const auto [first, second] = order(a, b);
  differ.add("order", first, second);
  for (const auto& [key, row] : a.entries()) differ.row(key, row.get(), b.find(key).get());
  for (const auto& [key, row] : b.entries()) {
    if (!a.find(key)) differ.row(key, nullptr, row.get());
  }
  return std::move(differ).result();
}

std::string diff_table(const BackendConfig& a, const BackendConfig& b) {
  const auto title = [](const BackendConfig& config, const char* otherwise) {
    return config.name().empty() ? otherwise : config.name();
  };
  std::vector<std::vector<std::string>> lines = {
      {"pattern", "field", title(a, "first"), title(b, "second")}};
  const auto differences = diff(a, b);
  for (const auto& [pattern, field, in_a, in_b] : differences) {
    lines.push_back(
        {pattern.empty() ? "*" : pattern, field, in_a.value_or("-"), in_b.value_or("-")});
  }
  return differences.empty() ? "no differences\n" : text::table(std::move(lines));
}

}  // namespace qnative
