#include <ATen/core/dispatch/Dispatcher.h>

#include <map>

#include "qnative/config.h"

namespace qnative {
namespace {

// Patterns of upstream's configs that no PyTorch program can have.
const std::map<std::string, std::string>& never() {
  static const std::map<std::string, std::string> reasons = {
      {"hardsigmoid", "torch.Tensor has no method hardsigmoid"},
      {"hardsigmoid_", "torch.Tensor has no method hardsigmoid_"},
  };
  return reasons;
}

// "linear" is an op of qnative, "mylib::linear" one of another library.
std::string qualified(const std::string& op) {
  return op.find("::") == std::string::npos ? "qnative::" + op : op;
}

// Asks the dispatcher: this layer knows no op.
bool has_kernel(const std::string& op) {
  const auto found = c10::Dispatcher::singleton().findSchema({qualified(op), ""});
  return found && found->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU);
}

// "" for what can run.
std::string why_not(const BackendPatternConfig& config, size_t dtype_config) {
  const auto& pattern = config.pattern();
  if (pattern && !pattern->is_tuple()) {
    const auto reason = never().find(pattern->name());
    if (reason != never().end()) {
      return "it cannot occur: " + reason->second;
    }
  }
  const std::string op = config.op(dtype_config);
  if (op.empty()) {
    return "it names no op";
  }
  return op == "free" || has_kernel(op) ? ""
                                        : "there is no op " + qualified(op) + " with a CPU kernel";
}

}  // namespace

std::vector<MissingKernel> BackendConfig::validate() const {
  std::vector<MissingKernel> missing;
  for (const auto& [key, config] : entries_) {
    for (size_t i = 0; i < config->dtype_configs().size(); ++i) {
      if (std::string reason = why_not(*config, i); !reason.empty()) {
        missing.push_back({config, i, std::move(reason)});
      }
    }
  }
  return missing;
}

}  // namespace qnative
