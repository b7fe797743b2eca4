#include "rows.h"

#include <algorithm>

namespace qnative::families {
namespace {

BackendPatternConfig::Name name_of(const std::string& name) {
  return name.empty() ? std::nullopt : std::optional(name);
}

// One name for all DTypeConfigs, or one per DTypeConfig.
BackendPatternConfig::Ops ops_of(const std::string& op, const DTypeConfigs& dtype_configs,
                                 Naming naming) {
  BackendPatternConfig::Ops ops;
  for (size_t i = 0; i < dtype_configs.size(); ++i) {
    ops.push_back(naming(op, *dtype_configs.get(i)));
  }
  const bool same = std::all_of(ops.begin(), ops.end(), [&](const auto& o) { return o == ops[0]; });
  if (!same || ops.empty()) return ops;
  return ops[0].empty() ? BackendPatternConfig::Ops{} : BackendPatternConfig::Ops{ops[0]};
}

}  // namespace

std::string with_dtypes(const std::string& op, const DTypeConfig& dtypes) {
  if (op == kFree) return op;
  if (dtypes.input_dtype() == at::kFloat) {
    // Only the weights are quantized.
    return dtypes.weight_dtype() == at::kQUInt8     ? op + "_8bit"
           : dtypes.weight_dtype() == at::kQUInt4x2 ? op + "_4bit"
                                                    : "";
  }
  if (dtypes.weight_dtype() == at::kQUInt4x2) return op + "_4bit";
  const bool dynamic = dtypes.is_dynamic.value_or(false);
  const bool half = dtypes.input_dtype() == at::kHalf;
  if (half && !dynamic) {
    if (op == "cat") return kFree;
    if (op == "lookup") return "pointwise_fp16";
    if (op.rfind("max_pool", 0) == 0) return op;
  }
  return op + (dynamic ? "_dynamic" : "") + (half ? "_fp16" : "");
}

Configs build(const std::vector<Row>& rows, const DTypeConfigs& dtype_configs, Naming naming) {
  Configs configs;
  configs.reserve(rows.size());
  for (const auto& row : rows) {
    BackendPatternConfig::InputTypeToIndex inputs;
    for (const auto& [input, index] : row.inputs) inputs.insert(input, index);
    auto config = c10::make_intrusive<BackendPatternConfig>(row.pattern);
    config->set_observation_type(row.observation_type)
        .set_dtype_configs(dtype_configs)
        .set_root_module(name_of(row.root_module))
        .set_reference_quantized_module(name_of(row.reference_quantized_module))
        .set_qat_module(name_of(row.qat_module))
        .set_fused_module(name_of(row.fused_module))
        .set_fuser_method(name_of(row.fuser_method))
        .set_input_type_to_index(inputs)
        .set_ops(ops_of(row.op, dtype_configs, naming));
    configs.push_back(std::move(config));
  }
  return configs;
}

Configs build(const std::vector<PatternAndOp>& patterns, ObservationType observation_type,
              const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  rows.reserve(patterns.size());
  for (const auto& [pattern, op] : patterns) {
    rows.push_back({.pattern = pattern, .op = op, .observation_type = observation_type});
  }
  return build(rows, dtype_configs);
}

DTypeConfigs list(std::initializer_list<DTypeConfigPtr> configs) {
  DTypeConfigs result;
  for (const auto& config : configs) result.push_back(config);
  return result;
}

c10::intrusive_ptr<BackendConfig> backend(std::string name, const std::vector<Family>& all) {
  auto config = c10::make_intrusive<BackendConfig>(std::move(name));
  for (const auto& family : all) {
    config->set_backend_pattern_configs(family.configs(family.dtype_configs));
  }
  return config;
}

}  // namespace qnative::families
