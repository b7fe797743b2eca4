#pragma once

#include <string>

#include "qnative/migrate.h"

// The steps of qnative::migrate, for callers that want the nodes that cannot be moved as data.
namespace qnative::migration {

Migration run(const torch::jit::Module& module, const MigrateOptions& options);
// Throws an error that lists the nodes that cannot be moved.
void check_complete(const Migration& result, const std::string& what);
// Their errors name the file.
torch::jit::Module load(const std::string& path);
void save(const torch::jit::Module& module, const std::string& path);

}  // namespace qnative::migration
