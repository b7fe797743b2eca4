#include <algorithm>
#include <tuple>

#include "fields.h"
#include "qnative/config.h"

namespace qnative {
namespace {

constexpr const char* kOnePattern = "Only one of 'pattern' or 'pattern_complex_format' can be set";

template <typename Key, typename Value>
bool equal(const c10::Dict<Key, Value>& a, const c10::Dict<Key, Value>& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           const auto found = b.find(entry.key());
           return found != b.end() && found->value() == entry.value();
         });
}

}  // namespace

const char* toString(ObservationType type) {
  switch (type) {
    case ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT:
      return "OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT";
    case ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT:
      return "OUTPUT_SHARE_OBSERVER_WITH_INPUT";
    case ObservationType::INPUT_OUTPUT_NOT_OBSERVED:
      return "INPUT_OUTPUT_NOT_OBSERVED";
  }
  TORCH_CHECK_VALUE(false, static_cast<int64_t>(type), " is not a valid ObservationType");
}

ObservationType observation_type_from_int(int64_t value) {
  const auto type = static_cast<ObservationType>(value);
  toString(type);
  return type;
}

BackendPatternConfig::BackendPatternConfig(std::optional<Pattern> pattern)
    : pattern_(std::move(pattern)) {}

BackendPatternConfig& BackendPatternConfig::set_pattern(std::optional<Pattern> pattern) {
  TORCH_CHECK_VALUE(!pattern_complex_format_, kOnePattern);
  pattern_ = std::move(pattern);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_pattern_complex_format(
    std::optional<Pattern> pattern) {
  TORCH_CHECK_VALUE(!pattern_, kOnePattern);
  pattern_complex_format_ = std::move(pattern);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_observation_type(ObservationType observation_type) {
  observation_type_ = observation_type_from_int(static_cast<int64_t>(observation_type));
  return *this;
}

BackendPatternConfig& BackendPatternConfig::add_dtype_config(
    c10::intrusive_ptr<DTypeConfig> dtype_config) {
  TORCH_CHECK(dtype_config, "qnative: add_dtype_config: the DTypeConfig is null");
  dtype_configs_.push_back(std::move(dtype_config));
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_dtype_configs(const DTypeConfigs& dtype_configs) {
  for (size_t i = 0; i < dtype_configs.size(); ++i) {
    TORCH_CHECK(dtype_configs.get(i), "qnative: set_dtype_configs: DTypeConfig ", i, " is null");
  }
  dtype_configs_ = dtype_configs;
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_root_module(Name name) {
  root_module_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_qat_module(Name name) {
  qat_module_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_reference_quantized_module(Name name) {
  reference_quantized_module_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_fused_module(Name name) {
  fused_module_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_fuser_method(Name name) {
  fuser_method_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_root_node_getter(Name name) {
  root_node_getter_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_extra_inputs_getter(Name name) {
  extra_inputs_getter_ = std::move(name);
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_num_tensor_args_to_observation_type(
    const NumTensorArgsToObservationType& map) {
  for (const auto& entry : map) observation_type_from_int(entry.value());
  num_tensor_args_to_observation_type_ = map;
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_input_type_to_index(const InputTypeToIndex& map) {
  input_type_to_index_ = map;
  return *this;
}

BackendPatternConfig& BackendPatternConfig::set_ops(Ops ops) {
  ops_ = std::move(ops);
  return *this;
}

std::string BackendPatternConfig::op(size_t dtype_config) const {
  if (ops_.size() == 1) return ops_.front();
  return dtype_config < ops_.size() ? ops_[dtype_config] : "";
}

Pattern BackendPatternConfig::pattern_key() const {
  if (pattern_complex_format_) return *pattern_complex_format_;
  TORCH_CHECK_VALUE(pattern_, "Either 'pattern' or 'pattern_complex_format' must be specified");
  return pattern_->reversed();
}

bool BackendPatternConfig::operator==(const BackendPatternConfig& other) const {
  const auto plain = [](const BackendPatternConfig& config) {
    return std::tie(config.pattern_, config.observation_type_, config.root_module_,
                    config.qat_module_, config.reference_quantized_module_, config.fused_module_,
                    config.fuser_method_, config.root_node_getter_, config.extra_inputs_getter_,
                    config.pattern_complex_format_);
  };
  return plain(*this) == plain(other) && fields::equal(dtype_configs_, other.dtype_configs_) &&
         equal(num_tensor_args_to_observation_type_, other.num_tensor_args_to_observation_type_) &&
         equal(input_type_to_index_, other.input_type_to_index_);
}

}  // namespace qnative
