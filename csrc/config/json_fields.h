#pragma once

#include <cstdint>

// Shared by the writer and the reader of BackendConfigs as JSON.
namespace qnative::json {

// The reader rejects every other version.
inline constexpr int64_t kVersion = 1;

inline constexpr const char* kWantedOps = "one op, or one for each DTypeConfig, got ";

}  // namespace qnative::json
