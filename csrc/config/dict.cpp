#include <type_traits>

#include "fields.h"
#include "qnative/config.h"
#include "values.h"

// to_dict and from_dict, with the keys, omissions and errors of upstream.
namespace qnative {
namespace {

using AnyDict = c10::Dict<std::string, c10::IValue>;

AnyDict new_dict() {
  return c10::impl::toTypedDict<std::string, c10::IValue>(
      c10::impl::GenericDict(c10::StringType::get(), c10::AnyType::get()));
}

// None if there is no such key.
c10::IValue get(const AnyDict& dict, const std::string& key) {
  const auto found = dict.find(key);
  return found == dict.end() ? c10::IValue() : found->value();
}

template <typename T>
void insert_if_set(AnyDict& dict, const char* key, const std::optional<T>& value) {
  if (value) dict.insert(key, c10::IValue(*value));
}

DTypeArg dtype_arg(const AnyDict& dict, const std::string& key) {
  const c10::IValue value = get(dict, key);
  if (auto constraints = values::to_object<DTypeWithConstraints>(value)) {
    return {std::move(constraints)};
  }
  TORCH_CHECK_VALUE(value.isNone() || value.isInt(), "Expected ", key,
                    " to be a torch.dtype or DTypeWithConstraints");
  return {values::to_dtype(value, key)};
}

c10::List<c10::IValue> list_of(const AnyDict& dict, const std::string& key) {
  const c10::IValue value = get(dict, key);
  TORCH_CHECK_VALUE(value.isNone() || value.isList(), key, " should be a list, got ",
                    value.tagKind());
  return value.isNone() ? c10::List<c10::IValue>(c10::AnyType::get()) : value.toList();
}

template <typename Key>
c10::Dict<Key, int64_t> int_dict(const AnyDict& dict, const std::string& key) {
  c10::Dict<Key, int64_t> result;
  const c10::IValue value = get(dict, key);
  if (value.isNone()) return result;
  TORCH_CHECK_VALUE(value.isGenericDict(), key, " should be a dict, got ", value.tagKind());
  for (const auto& entry : value.toGenericDict()) {
    const bool right_key =
        std::is_same_v<Key, int64_t> ? entry.key().isInt() : entry.key().isString();
    TORCH_CHECK_VALUE(right_key && entry.value().isInt(), key, " should be a dict of ",
                      std::is_same_v<Key, int64_t> ? "int" : "str", " to int, got ",
                      entry.key().tagKind(), " to ", entry.value().tagKind());
    result.insert(entry.key().to<Key>(), entry.value().toInt());
  }
  return result;
}

// From a dict with str keys and values of any type.
AnyDict any_dict(const c10::IValue& value) {
  AnyDict dict = new_dict();
  for (const auto& entry : value.toGenericDict()) {
    TORCH_CHECK_VALUE(entry.key().isString(), "the keys of a config should be str, got ",
                      entry.key().tagKind());
    dict.insert(entry.key().toStringRef(), entry.value());
  }
  return dict;
}

c10::intrusive_ptr<DTypeConfig> dtype_config(const c10::IValue& value) {
  if (auto object = values::to_object<DTypeConfig>(value)) return object;
  TORCH_CHECK_VALUE(
      value.isGenericDict(),
      "Expected a list of DTypeConfigs in backend_pattern_config_dict[\"dtype_configs\"], got '",
      value.tagKind(), "'");
  return DTypeConfig::from_dict(any_dict(value));
}

c10::intrusive_ptr<BackendPatternConfig> pattern_config(const c10::IValue& value) {
  if (auto object = values::to_object<BackendPatternConfig>(value)) return object;
  TORCH_CHECK_VALUE(value.isGenericDict(),
                    "Expected backend_config_dict['configs'] to be a dictionary");
  return BackendPatternConfig::from_dict(any_dict(value));
}

}  // namespace

AnyDict DTypeConfig::to_dict() const {
  AnyDict dict = new_dict();
  for (const auto& field : fields::kDTypes) {
    if (const auto& dtype = (this->*field.get)(); dtype->dtype) dict.insert(field.name, dtype);
  }
  insert_if_set(dict, "bias_dtype", bias_dtype);
  insert_if_set(dict, "is_dynamic", is_dynamic);
  return dict;
}

c10::intrusive_ptr<DTypeConfig> DTypeConfig::from_dict(const AnyDict& dict) {
  auto config = c10::make_intrusive<DTypeConfig>();
  for (const auto& field : fields::kDTypes) ((*config).*field.set)(dtype_arg(dict, field.name));
  config->bias_dtype = values::to_dtype(get(dict, "bias_dtype"), "bias_dtype");
  config->is_dynamic = values::to_bool(get(dict, "is_dynamic"), "is_dynamic");
  return config;
}

AnyDict BackendPatternConfig::to_dict(bool with_ops) const {
  c10::List<c10::IValue> dtype_configs(c10::AnyType::get());
  for (size_t i = 0; i < dtype_configs_.size(); ++i) {
    dtype_configs.push_back(dtype_configs_.get(i)->to_dict());
  }
  AnyDict dict = new_dict();
  dict.insert("observation_type", static_cast<int64_t>(observation_type_));
  dict.insert("dtype_configs", dtype_configs);
  if (pattern_) dict.insert("pattern", pattern_->to_ivalue());
  for (const auto& field : fields::kNames) insert_if_set(dict, field.key, (this->*field.get)());
  if (!num_tensor_args_to_observation_type_.empty()) {
    dict.insert("num_tensor_args_to_observation_type", num_tensor_args_to_observation_type_);
  }
  if (!input_type_to_index_.empty()) dict.insert("input_type_to_index", input_type_to_index_);
  if (pattern_complex_format_) {
    dict.insert("pattern_complex_format", pattern_complex_format_->to_ivalue());
  }
  if (with_ops && !ops_.empty()) dict.insert("ops", ops_);
  return dict;
}

c10::intrusive_ptr<BackendPatternConfig> BackendPatternConfig::from_dict(const AnyDict& dict) {
  auto config = c10::make_intrusive<BackendPatternConfig>();
  config->set_pattern(values::to_pattern(get(dict, "pattern"), "pattern"));
  if (const auto type = get(dict, "observation_type"); !type.isNone()) {
    config->set_observation_type(values::to_observation_type(type, "observation_type"));
  }
  const auto dtype_configs = list_of(dict, "dtype_configs");
  for (size_t i = 0; i < dtype_configs.size(); ++i) {
    values::within("dtype_configs", i,
                   [&] { config->add_dtype_config(dtype_config(dtype_configs.get(i))); });
  }
  for (const auto& field : fields::kNames) {
    ((*config).*field.set)(values::to_string(get(dict, field.key), field.key));
  }
  config
      ->set_num_tensor_args_to_observation_type(
          int_dict<int64_t>(dict, "num_tensor_args_to_observation_type"))
      .set_input_type_to_index(int_dict<std::string>(dict, "input_type_to_index"));
  const auto complex = get(dict, "pattern_complex_format");
  if (!complex.isNone()) {
    config->set_pattern_complex_format(values::to_pattern(complex, "pattern_complex_format"));
  }
  Ops ops;
  for (const c10::IValue& op : list_of(dict, "ops")) ops.push_back(values::to_op(op, "ops"));
  config->set_ops(std::move(ops));
  return config;
}

AnyDict BackendConfig::to_dict(bool with_ops) const {
  c10::List<c10::IValue> configs(c10::AnyType::get());
  for (const auto& [key, config] : entries_) configs.push_back(config->to_dict(with_ops));
  AnyDict dict = new_dict();
  dict.insert("name", name_);
  dict.insert("configs", configs);
  return dict;
}

c10::intrusive_ptr<BackendConfig> BackendConfig::from_dict(const AnyDict& dict) {
  auto config =
      c10::make_intrusive<BackendConfig>(values::to_string(get(dict, "name"), "name").value_or(""));
  const auto configs = list_of(dict, "configs");
  for (size_t i = 0; i < configs.size(); ++i) {
    values::within("configs", i,
                   [&] { config->set_backend_pattern_config(pattern_config(configs.get(i))); });
  }
  return config;
}

}  // namespace qnative
