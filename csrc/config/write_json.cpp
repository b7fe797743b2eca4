#include <cmath>

#include "fields.h"
#include "json.h"
#include "json_fields.h"
#include "text.h"

namespace qnative {
namespace {

// Checks, and says of what cannot be written where it stands.
class Writer {
 public:
  std::string write(const BackendConfig& config) {
    std::string rows;
    const auto& entries = config.entries();
    for (size_t i = 0; i < entries.size(); ++i) {
      path_ = "configs[" + std::to_string(i) + "]";
      rows += (i == 0 ? "\n" : ",\n") + row(entries[i].first, *entries[i].second);
    }
    path_ = "";
    return "{\n  \"version\": " + std::to_string(json::kVersion) +
           ",\n  \"name\": " + quoted("name", config.name()) + ",\n  \"configs\": [" + rows +
           (rows.empty() ? "" : "\n  ") + "]\n}\n";
  }

 private:
  template <typename... Message>
  void check(bool right, const std::string& field, const Message&... message) const {
    TORCH_CHECK_VALUE(right, "qnative: to_json: ", path_, path_.empty() ? "" : ".", field,
                      ": wanted ", message...);
  }

  std::string quoted(const std::string& field, const std::string& text) const {
    try {
      return json::quoted(text);
    } catch (const c10::ValueError& error) {
      check(false, field, "UTF-8, got ", error.what_without_backtrace());
    }
    return "";
  }

  std::string row(const Pattern& key, const BackendPatternConfig& config) {
    fields_.clear();
    pattern(key, config);
    add("observation_type", json::quoted(toString(config.observation_type())));
    add("dtype_configs", dtype_configs(config.dtype_configs()));
    for (const auto& field : fields::kNames) {
      if (const auto& name = (config.*field.get)()) {
        add(json::key_of(field), quoted(json::key_of(field), *name));
      }
    }
    std::string types;
    for (const auto& item : config.num_tensor_args_to_observation_type()) {
      join(types, "\"" + std::to_string(item.key()) +
                      "\": " + json::quoted(toString(observation_type_from_int(item.value()))));
    }
    std::string inputs;
    for (const auto& item : config.input_type_to_index()) {
      join(inputs, quoted("input_type_to_index", item.key()) + ": " + std::to_string(item.value()));
    }
    std::string ops;
    for (const auto& op : config.ops()) {
      join(ops, quoted("ops", op));
    }
    const size_t pairs = config.dtype_configs().size();
    check(config.ops().size() <= 1 || config.ops().size() == pairs, "ops", json::kWantedOps,
          config.ops().size(), " for ", pairs);
    add_unless_empty("num_tensor_args_to_observation_type", types, "{}");
    add_unless_empty("input_type_to_index", inputs, "{}");
    add_unless_empty("ops", ops, "[]");
    return "    {\n" + fields_ + "\n    }";
  }

  void pattern(const Pattern& key, const BackendPatternConfig& config) {
    const bool nested = config.pattern_complex_format().has_value();
    const char* field = nested ? "pattern_complex_format" : "pattern";
    const auto& pattern = nested ? config.pattern_complex_format() : config.pattern();
    check(pattern.has_value(), field, "a pattern, got none");
    const size_t size = pattern->elements().size();
    check(nested || !pattern->is_tuple() || size == 2 || size == 3, field,
          "a tuple of 2 or 3 elements, got ", pattern->str());
    check(config.pattern_key() == key, field, "that under which the config stands, ", key.str(),
          ", got ", config.pattern_key().str());
    add(field, pattern_text(field, *pattern));
  }

  std::string pattern_text(const char* field, const Pattern& pattern) const {
    if (!pattern.is_tuple()) {
      return quoted(field, pattern.name());
    }
    check(!pattern.elements().empty(), field, "elements in every tuple, got ", pattern.str());
    std::string elements;
    for (const auto& element : pattern.elements()) {
      join(elements, pattern_text(field, element));
    }
    return "[" + elements + "]";
  }

  std::string dtype_configs(const BackendPatternConfig::DTypeConfigs& list) const {
    std::string lines;
    for (size_t i = 0; i < list.size(); ++i) {
      const DTypeConfig& config = *list.get(i);
      const std::string path = "dtype_configs[" + std::to_string(i) + "].";
      std::string items;
      for (const auto& field : fields::kDTypes) {
        const std::string dtype = constraints(path + field.name, *(config.*field.get)());
        if (dtype != "{}") {
          join(items, json::quoted(field.name) + ": " + dtype);
        }
      }
      if (config.bias_dtype) {
        join(items, "\"bias_dtype\": " + json::quoted(text::dtype(config.bias_dtype)));
      }
      if (config.is_dynamic) {
        join(items, std::string("\"is_dynamic\": ") + (*config.is_dynamic ? "true" : "false"));
      }
      lines += (i == 0 ? "\n        {" : ",\n        {") + items + "}";
    }
    return lines.empty() ? "[]" : "[" + lines + "\n      ]";
  }

  std::string constraints(const std::string& path, const DTypeWithConstraints& value) const {
    std::string items;
    const auto number = [&](const char* name, const at::Scalar& number) {
      check(number.isIntegral(true) || std::isfinite(number.toDouble()), path + "." + name,
            "a finite number, got ", number.toDouble());
      join(items, json::quoted(name) + ": " + text::number(number));
    };
    if (value.dtype) {
      join(items, "\"dtype\": " + json::quoted(text::dtype(value.dtype)));
    }
    for (const auto& [name, member] : fields::kNumbers) {
      if (value.*member) {
        number(name, *(value.*member));
      }
    }
    if (value.scale_exact_match) {
      number("scale_exact_match", *value.scale_exact_match);
    }
    if (value.zero_point_exact_match) {
      number("zero_point_exact_match", *value.zero_point_exact_match);
    }
    return "{" + items + "}";
  }

  static void join(std::string& list, const std::string& item) {
    list += (list.empty() ? "" : ", ") + item;
  }

  void add(const char* field, const std::string& value) {
    fields_ += (fields_.empty() ? "" : ",\n") + ("      \"" + std::string(field) + "\": ") + value;
  }

  void add_unless_empty(const char* field, const std::string& items, const char* brackets) {
    if (!items.empty()) {
      add(field, brackets[0] + items + brackets[1]);
    }
  }

  std::string path_;
  std::string fields_;
};

}  // namespace

std::string BackendConfig::to_json() const { return Writer().write(*this); }

}  // namespace qnative
