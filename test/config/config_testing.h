#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "qnative/config.h"

namespace qnative {

using DTypePtr = c10::intrusive_ptr<DTypeConfig>;
using PatternConfigPtr = c10::intrusive_ptr<BackendPatternConfig>;
using AnyDict = c10::Dict<std::string, c10::IValue>;

// `statement` throws c10::ValueError with a message that contains `text`.
#define EXPECT_VALUE_ERROR(statement, text)                                            \
  try {                                                                                \
    statement;                                                                         \
    ADD_FAILURE() << "no error: " #statement;                                          \
  } catch (const c10::ValueError& error) {                                             \
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, text, error.what_without_backtrace()); \
  }

inline AnyDict any_dict() {
  return c10::impl::toTypedDict<std::string, c10::IValue>(
      c10::impl::GenericDict(c10::StringType::get(), c10::AnyType::get()));
}

inline std::vector<std::string> keys(const AnyDict& dict) {
  std::vector<std::string> keys;
  for (const auto& entry : dict) keys.push_back(entry.key());
  return keys;
}

// A config with every field set but pattern_complex_format, which excludes pattern.
inline PatternConfigPtr full_pattern_config() {
  auto config = c10::make_intrusive<BackendPatternConfig>(Pattern::tuple({"a.B", "c.D", "relu"}));
  BackendPatternConfig::NumTensorArgsToObservationType types;
  types.insert(1, 1);
  BackendPatternConfig::InputTypeToIndex inputs;
  inputs.insert("weight", 1);
  inputs.insert("bias", 2);
  config->add_dtype_config(c10::make_intrusive<DTypeConfig>(at::kQUInt8, at::kFloat))
      .set_root_module("a.B")
      .set_qat_module("a.Qat")
      .set_reference_quantized_module("a.Reference")
      .set_fused_module("a.Fused")
      .set_fuser_method("a.fuse")
      .set_root_node_getter("a.root")
      .set_extra_inputs_getter("a.extra")
      .set_num_tensor_args_to_observation_type(types)
      .set_input_type_to_index(inputs)
      .set_ops({"linear", "free"});
  return config;
}

}  // namespace qnative
