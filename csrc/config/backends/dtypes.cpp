#include <map>

#include "qnative/backends.h"

// The DTypeConfigs of all backends, under their names in upstream's modules.
namespace qnative {
namespace {

template <typename T>
using ByName = std::map<std::string, c10::intrusive_ptr<T>>;

template <typename T>
const c10::intrusive_ptr<T>& find(const ByName<T>& all, const std::string& name, const char* kind) {
  const auto found = all.find(name);
  if (found != all.end()) return found->second;
  std::string names;
  for (const auto& [known, value] : all) names += (names.empty() ? "" : ", ") + known;
  TORCH_CHECK_VALUE(false, "qnative: no ", kind, " is named '", name, "'. There are: ", names);
}

ByName<DTypeWithConstraints> make_constraints() {
  ByName<DTypeWithConstraints> all;
  for (const std::string backend : {"qnnpack", "executorch"}) {
    // XNNPACK's kernels need a minimum scale, and weights without -128.
    auto activation = c10::make_intrusive<DTypeWithConstraints>(at::kQInt8);
    activation->scale_min_lower_bound = 1.0 / 4096;
    auto weight = c10::make_intrusive<DTypeWithConstraints>(*activation);
    weight->quant_min_lower_bound = -127;
    weight->quant_max_upper_bound = 127;
    all[backend + "_act_qint8_scale_min_2_neg_12"] = std::move(activation);
    all[backend + "_weight_qint8_neg_127_to_127_scale_min_2_neg_12"] = std::move(weight);
  }
  return all;
}

ByName<DTypeConfig> make_dtype_configs() {
  ByName<DTypeConfig> all;
  const auto add = [&](const std::string& name, const DTypeArg& input, const DTypeArg& output,
                       const DTypeArg& weight = {},
                       std::optional<at::ScalarType> bias = std::nullopt,
                       std::optional<bool> is_dynamic = std::nullopt) {
    all[name + "_dtype_config"] =
        c10::make_intrusive<DTypeConfig>(input, output, weight, bias, is_dynamic);
  };
  const auto add_static = [&](const std::string& weighted, const std::string& plain) {
    add(weighted, at::kQUInt8, at::kQUInt8, at::kQInt8, at::kFloat);
    add(plain, at::kQUInt8, at::kQUInt8);
  };
  const auto add_dynamic = [&](const std::string& name) {
    add(name, at::kQUInt8, at::kFloat, at::kQInt8, at::kFloat, true);
  };
  const auto add_dynamic_fp16 = [&](const std::string& name) {
    add(name, at::kHalf, at::kFloat, at::kHalf, at::kFloat, true);
  };
  for (const std::string backend : {"", "fbgemm_", "x86_", "qnnpack_"}) {
    add_static(backend + (backend == "x86_" ? "weighted_op_int8" : "weighted_op_quint8"),
               backend + "default_op_quint8");
    add(backend + "default_op_fp16", at::kHalf, at::kHalf, at::kHalf, at::kHalf);
    add_dynamic(backend + "default_dynamic_int8");
    add_dynamic_fp16(backend + "default_dynamic_float16");
    add(backend + "weight_only_quint8", at::kFloat, at::kFloat, at::kQUInt8);
    add(backend + "weight_only_quint4x2", at::kFloat, at::kFloat, at::kQUInt4x2);
  }
  // Between 8-bit layers: int16 has the zero point 0. An op that takes it takes 8 bits too.
  add("weighted_op_int16_output", at::kQUInt8, at::kShort, at::kQInt8, at::kFloat);
  add("default_op_int16", at::kShort, at::kShort);
  add("int16_input_quint8_output", at::kShort, at::kQUInt8);
  for (const std::string backend : {"", "onednn_"}) {
    add(backend + "input_output_only_quint8", at::kQUInt8, at::kQUInt8, at::kFloat, at::kFloat);
  }
  add_static("onednn_weighted_op_int8", "onednn_op_quint8");
  add_dynamic("onednn_dynamic_int8");
  add("onednn_weight_only_qint8", at::kFloat, at::kFloat, at::kQInt8);
  const DTypeArg activation = dtype_with_constraints("qnnpack_act_qint8_scale_min_2_neg_12");
  add("qnnpack_weighted_op_qint8_symmetric", activation, activation,
      dtype_with_constraints("qnnpack_weight_qint8_neg_127_to_127_scale_min_2_neg_12"), at::kFloat);
  add("qnnpack_default_op_qint8_symmetric", activation, activation);
  add_static("executorch_weighted_op_int8", "executorch_default_op_quint8");
  add_dynamic("executorch_default_dynamic_quint8");
  add("executorch_default_dynamic_qint8",
      dtype_with_constraints("executorch_act_qint8_scale_min_2_neg_12"), at::kFloat,
      dtype_with_constraints("executorch_weight_qint8_neg_127_to_127_scale_min_2_neg_12"),
      at::kFloat, true);
  add_dynamic_fp16("executorch_default_dynamic_float16");
  add("executorch_weight_only_quint8", at::kFloat, at::kFloat, at::kQUInt8);
  return all;
}

}  // namespace

const DTypeConfigPtr& dtype_config(const std::string& name) {
  static const auto all = make_dtype_configs();
  return find(all, name, "DTypeConfig");
}

const DTypeWithConstraintsPtr& dtype_with_constraints(const std::string& name) {
  static const auto all = make_constraints();
  return find(all, name, "DTypeWithConstraints");
}

const DTypeConfigPtr& weighted_op_quint8_dtype_config() {
  return dtype_config("weighted_op_quint8_dtype_config");
}

const DTypeConfigPtr& default_op_quint8_dtype_config() {
  return dtype_config("default_op_quint8_dtype_config");
}

const DTypeConfigPtr& default_op_fp16_dtype_config() {
  return dtype_config("default_op_fp16_dtype_config");
}

const DTypeConfigPtr& default_dynamic_int8_dtype_config() {
  return dtype_config("default_dynamic_int8_dtype_config");
}

const DTypeConfigPtr& default_dynamic_float16_dtype_config() {
  return dtype_config("default_dynamic_float16_dtype_config");
}

const DTypeConfigPtr& input_output_only_quint8_dtype_config() {
  return dtype_config("input_output_only_quint8_dtype_config");
}

const DTypeConfigPtr& weight_only_quint8_dtype_config() {
  return dtype_config("weight_only_quint8_dtype_config");
}

const DTypeConfigPtr& weight_only_quint4x2_dtype_config() {
  return dtype_config("weight_only_quint4x2_dtype_config");
}

}  // namespace qnative
