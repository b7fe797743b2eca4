#pragma once

#include <array>
#include <cstddef>

#include "qnative/config.h"

// Tables of the fields of configs, for dicts, JSON, saved state, comparison and merging.
namespace qnative::fields {

// A field of a row that names a Python object.
struct NameField {
  const char* name;
  // Its key in dicts and in JSON.
  const char* key;
  const BackendPatternConfig::Name& (BackendPatternConfig::*get)() const;
  BackendPatternConfig& (BackendPatternConfig::*set)(BackendPatternConfig::Name);
  // Whether it is a function of the nodes or modules of the pattern, in the form of the pattern.
  bool takes_pattern;
};

inline constexpr std::array<NameField, 7> kNames = {{
    {"root_module", "root_module", &BackendPatternConfig::root_module,
     &BackendPatternConfig::set_root_module, false},
    {"qat_module", "qat_module", &BackendPatternConfig::qat_module,
     &BackendPatternConfig::set_qat_module, false},
    {"reference_quantized_module", "reference_quantized_module_for_root",
     &BackendPatternConfig::reference_quantized_module,
     &BackendPatternConfig::set_reference_quantized_module, false},
    {"fused_module", "fused_module", &BackendPatternConfig::fused_module,
     &BackendPatternConfig::set_fused_module, false},
    {"fuser_method", "fuser_method", &BackendPatternConfig::fuser_method,
     &BackendPatternConfig::set_fuser_method, true},
    {"root_node_getter", "root_node_getter", &BackendPatternConfig::root_node_getter,
     &BackendPatternConfig::set_root_node_getter, true},
    {"extra_inputs_getter", "extra_inputs_getter", &BackendPatternConfig::extra_inputs_getter,
     &BackendPatternConfig::set_extra_inputs_getter, true},
}};

// An optional number of DTypeWithConstraints.
struct NumberField {
  const char* name;
  std::optional<at::Scalar> DTypeWithConstraints::* member;
};

inline constexpr std::array<NumberField, 4> kNumbers = {{
    {"quant_min_lower_bound", &DTypeWithConstraints::quant_min_lower_bound},
    {"quant_max_upper_bound", &DTypeWithConstraints::quant_max_upper_bound},
    {"scale_min_lower_bound", &DTypeWithConstraints::scale_min_lower_bound},
    {"scale_max_upper_bound", &DTypeWithConstraints::scale_max_upper_bound},
}};

struct DTypeField {
  const char* name;
  const c10::intrusive_ptr<DTypeWithConstraints>& (DTypeConfig::*get)() const;
  void (DTypeConfig::*set)(const DTypeArg&);
};

inline constexpr std::array<DTypeField, 3> kDTypes = {{
    {"input_dtype", &DTypeConfig::input_dtype_with_constraints,
     &DTypeConfig::set_input_dtype_with_constraints},
    {"output_dtype", &DTypeConfig::output_dtype_with_constraints,
     &DTypeConfig::set_output_dtype_with_constraints},
    {"weight_dtype", &DTypeConfig::weight_dtype_with_constraints,
     &DTypeConfig::set_weight_dtype_with_constraints},
}};

// The position of an equal DTypeConfig in the list.
inline std::optional<size_t> position(const BackendPatternConfig::DTypeConfigs& list,
                                      const DTypeConfig& wanted) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (*list.get(i) == wanted) return i;
  }
  return std::nullopt;
}

// By value: the elements are pointers.
inline bool equal(const BackendPatternConfig::DTypeConfigs& a,
                  const BackendPatternConfig::DTypeConfigs& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(*a.get(i) == *b.get(i))) return false;
  }
  return true;
}

}  // namespace qnative::fields
