#include <ATen/core/dispatch/Dispatcher.h>

#include <map>

#include "qnative/config.h"

namespace qnative {
namespace {

// Patterns of upstream's configs that cannot occur in a PyTorch program.
const std::map<std::string, std::string>& never() {
  static const std::map<std::string, std::string> reasons = {
      {"hardsigmoid", "torch.Tensor has no method hardsigmoid"},
      {"hardsigmoid_", "torch.Tensor has no method hardsigmoid_"},
  };
  return reasons;
}

// The namespace of "linear" is qnative; "mylib::linear" is an op of another library.
std::string qualified(const std::string& op) {
  return op.find("::") == std::string::npos ? "qnative::" + op : op;
}

// Asks the dispatcher, because this layer does not know the ops.
bool has_kernel(const std::string& op) {
  const auto found = c10::Dispatcher::singleton().findSchema({qualified(op), ""});
  return found && found->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU);
}

// std::nullopt if a kernel runs it.
std::optional<MissingKernel> missing_kernel(const c10::intrusive_ptr<BackendPatternConfig>& config,
                                            size_t dtype_config) {
  using Cause = MissingKernelCause;
  const auto& pattern = config->pattern();
  if (pattern && !pattern->is_tuple()) {
    const auto reason = never().find(pattern->name());
    if (reason != never().end()) {
      return {
          {config, dtype_config, Cause::IMPOSSIBLE_PATTERN, "it cannot occur: " + reason->second}};
    }
  }
  const std::string op = config->op(dtype_config);
  if (op.empty()) return {{config, dtype_config, Cause::NO_OP, "it names no op"}};
  if (op == "free" || has_kernel(op)) return std::nullopt;
  return {{config, dtype_config, Cause::NO_KERNEL,
           "there is no op " + qualified(op) + " with a CPU kernel"}};
}

}  // namespace

std::vector<MissingKernel> BackendConfig::validate() const {
  std::vector<MissingKernel> missing;
  for (const auto& [key, config] : entries_) {
    for (size_t i = 0; i < config->dtype_configs().size(); ++i) {
      if (auto found = missing_kernel(config, i)) missing.push_back(std::move(*found));
    }
  }
  return missing;
}

}  // namespace qnative
