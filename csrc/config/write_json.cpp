#include <cmath>

#include "fields.h"
#include "json.h"
#include "json_fields.h"
#include "text.h"

namespace qnative {
namespace {

// A row has a line for each field, and its DTypeConfigs have a line each.
bool on_lines(const json::Value& value, int depth) {
  constexpr int kFieldDepth = 3;
  const auto* array = std::get_if<json::Array>(&value.data);
  const bool is_dtype_configs = array != nullptr && !array->empty() &&
                                std::holds_alternative<json::Object>(array->front().data);
  return depth < kFieldDepth || (depth == kFieldDepth && is_dtype_configs);
}

// Builds the document. Errors name the row and the field.
class Writer {
 public:
  json::Value document(const BackendConfig& config) {
    json::Array rows;
    for (const auto& [key, row_config] : config.entries()) {
      path_ = "configs[" + std::to_string(rows.size()) + "]";
      rows.push_back({row(key, *row_config)});
    }
    path_ = "";
    json::Object root;
    root.add("version", {json::kVersion});
    root.add("name", text("name", config.name()));
    root.add("configs", {std::move(rows)});
    return {std::move(root)};
  }

 private:
  template <typename... Message>
  void check(bool right, const std::string& field, const Message&... message) const {
    TORCH_CHECK_VALUE(right, "qnative: to_json: ", path_, path_.empty() ? "" : ".", field,
                      ": wanted ", message...);
  }

  json::Value text(const std::string& field, const std::string& text) const {
    check(json::is_utf8(text), field, "UTF-8, got a text that is not UTF-8");
    return {text};
  }

  json::Object row(const Pattern& key, const BackendPatternConfig& config) const {
    json::Object row;
    add_pattern(row, key, config);
    row.add("observation_type", {toString(config.observation_type())});
    row.add("dtype_configs", {dtype_configs(config.dtype_configs())});
    for (const auto& field : fields::kNames) {
      if (const auto& name = (config.*field.get)()) row.add(field.key, text(field.key, *name));
    }
    json::Object types;
    for (const auto& item : config.num_tensor_args_to_observation_type()) {
      const auto type = observation_type_from_int(item.value());
      types.add(std::to_string(item.key()), {toString(type)});
    }
    json::Object inputs;
    for (const auto& item : config.input_type_to_index()) {
      const std::string& name = item.key();
      check(json::is_utf8(name), "input_type_to_index", "UTF-8, got a text that is not UTF-8");
      inputs.add(name, {item.value()});
    }
    json::Array ops;
    for (const auto& op : config.ops()) ops.push_back(text("ops", op));
    const size_t pairs = config.dtype_configs().size();
    check(ops.size() <= 1 || ops.size() == pairs, "ops", json::kWantedOps, ops.size(), " for ",
          pairs);
    add_unless_empty(row, "num_tensor_args_to_observation_type", std::move(types));
    add_unless_empty(row, "input_type_to_index", std::move(inputs));
    add_unless_empty(row, "ops", std::move(ops));
    return row;
  }

  void add_pattern(json::Object& row, const Pattern& key,
                   const BackendPatternConfig& config) const {
    const bool nested = config.pattern_complex_format().has_value();
    const char* field = nested ? "pattern_complex_format" : "pattern";
    const auto& pattern = nested ? config.pattern_complex_format() : config.pattern();
    check(pattern.has_value(), field, "a pattern, got none");
    const size_t size = pattern->elements().size();
    check(nested || !pattern->is_tuple() || size == 2 || size == 3, field,
          "a tuple of 2 or 3 elements, got ", pattern->str());
    check(config.pattern_key() == key, field, "that under which the config stands, ", key.str(),
          ", got ", config.pattern_key().str());
    row.add(field, pattern_value(field, *pattern));
  }

  json::Value pattern_value(const char* field, const Pattern& pattern) const {
    if (!pattern.is_tuple()) return text(field, pattern.name());
    check(!pattern.elements().empty(), field, "elements in every tuple, got ", pattern.str());
    json::Array elements;
    for (const auto& element : pattern.elements()) {
      elements.push_back(pattern_value(field, element));
    }
    return {std::move(elements)};
  }

  json::Array dtype_configs(const BackendPatternConfig::DTypeConfigs& list) const {
    json::Array all;
    for (size_t i = 0; i < list.size(); ++i) {
      const DTypeConfig& config = *list.get(i);
      const std::string path = "dtype_configs[" + std::to_string(i) + "].";
      json::Object fields;
      for (const auto& field : fields::kDTypes) {
        add_unless_empty(fields, field.name,
                         constraints(path + field.name, *(config.*field.get)()));
      }
      if (config.bias_dtype) fields.add("bias_dtype", {text::dtype(config.bias_dtype)});
      if (config.is_dynamic) fields.add("is_dynamic", {*config.is_dynamic});
      all.push_back({std::move(fields)});
    }
    return all;
  }

  json::Object constraints(const std::string& path, const DTypeWithConstraints& value) const {
    json::Object fields;
    const auto add = [&](const char* name, const at::Scalar& number) {
      if (number.isIntegral(/*includeBool=*/true)) {
        fields.add(name, {number.toLong()});
        return;
      }
      check(std::isfinite(number.toDouble()), path + "." + name, "a finite number, got ",
            number.toDouble());
      fields.add(name, {number.toDouble()});
    };
    if (value.dtype) fields.add("dtype", {text::dtype(value.dtype)});
    for (const auto& [name, member] : fields::kNumbers) {
      if (value.*member) add(name, *(value.*member));
    }
    if (value.scale_exact_match) add("scale_exact_match", *value.scale_exact_match);
    if (value.zero_point_exact_match) add("zero_point_exact_match", *value.zero_point_exact_match);
    return fields;
  }

  template <typename Items>
  static void add_unless_empty(json::Object& object, const char* name, Items items) {
    if (!items.empty()) object.add(name, {std::move(items)});
  }

  std::string path_;
};

}  // namespace

std::string BackendConfig::to_json() const {
  return json::dump(Writer().document(*this), on_lines) + "\n";
}

}  // namespace qnative
