#pragma once

#include <string_view>

#include "fields.h"

// What the writer and the reader of BackendConfigs as JSON have in common.
namespace qnative::json {

// A text of another version is refused.
inline constexpr int64_t kVersion = 1;

inline constexpr const char* kWantedOps = "one op, or one for each DTypeConfig, got ";

// The key of a name in JSON, which is that of to_dict().
constexpr const char* key_of(const fields::NameField& field) {
  return std::string_view(field.name) == "reference_quantized_module"
             ? "reference_quantized_module_for_root"
             : field.name;
}

}  // namespace qnative::json
