#pragma once

#include <cstdint>

// What the writer and the reader of BackendConfigs as JSON have in common.
namespace qnative::json {

// A text of another version is refused.
inline constexpr int64_t kVersion = 1;

inline constexpr const char* kWantedOps = "one op, or one for each DTypeConfig, got ";

}  // namespace qnative::json
