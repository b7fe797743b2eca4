#include "qnative/registry.h"

#include <map>
#include <mutex>
#include <utility>

#include "qnative/backends.h"

namespace qnative {
namespace {

struct Registered {
  BackendBuilder build;
  // The error while a library was loaded, or "".
  std::string error;
};

class Registry {
 public:
  // Never destroyed: libraries may be unloaded later.
  static Registry& instance() {
    static auto& registry = *new Registry();
    return registry;
  }

  // Returns "" or an error.
  std::string add(const std::string& name, BackendBuilder build) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (name.empty()) return "the name of a backend must not be empty";
    if (!build) return "the function that builds backend '" + name + "' is empty";
    if (own_.count(name) != 0 || others_.count(name) != 0) {
      return "a backend named '" + name + "' is registered already";
    }
    others_[name].build = std::move(build);
    return "";
  }

  void set_error(const std::string& name, std::string error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    others_[name].error = std::move(error);
  }

  bool remove(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK_VALUE(own_.count(name) == 0, "qnative: backend '", name, "' is qnative's own");
    return others_.erase(name) != 0;
  }

  // A copy, so that the builder runs without the lock: it may look up other backends.
  Registered find(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = own_.find(name); found != own_.end()) return found->second;
    const auto found = others_.find(name);
    return found == others_.end() ? Registered{} : found->second;
  }

  std::vector<std::string> names() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::map<std::string, Registered> all = own_;
    all.insert(others_.begin(), others_.end());
    std::vector<std::string> names;
    names.reserve(all.size());
    for (const auto& [name, registered] : all) {
      if (!name.starts_with('_')) names.push_back(name);  // private: known, but not shown
    }
    return names;
  }

 private:
  std::mutex mutex_;
  const std::map<std::string, Registered> own_ = {
      {"native", {get_native_backend_config, ""}},
      {"_native_and_fp16", {get_test_only_legacy_native_backend_config, ""}},
      {"fbgemm", {get_fbgemm_backend_config, ""}},
      {"x86", {get_x86_backend_config, ""}},
      {"qnnpack", {get_qnnpack_backend_config, ""}},
      {"onednn", {get_onednn_backend_config, ""}},
      {"executorch", {get_executorch_backend_config, ""}},
      {"tensorrt", {get_tensorrt_backend_config, ""}},
      {"qnative", {get_qnative_backend_config, ""}},
  };
  std::map<std::string, Registered> others_;
};

}  // namespace

void register_backend(const std::string& name, BackendBuilder build) {
  const std::string error = Registry::instance().add(name, std::move(build));
  TORCH_CHECK_VALUE(error.empty(), "qnative: ", error);
}

bool unregister_backend(const std::string& name) { return Registry::instance().remove(name); }

c10::intrusive_ptr<BackendConfig> get_backend(const std::string& name) {
  const auto [build, error] = Registry::instance().find(name);
  TORCH_CHECK_VALUE(error.empty(), "qnative: backend '", name, "': ", error);
  if (!build) {
    std::string names;
    for (const auto& known : backend_names()) names += (names.empty() ? "" : ", ") + known;
    TORCH_CHECK_VALUE(false, "qnative: no backend is named '", name, "'. There are: ", names);
  }
  auto config = build();
  TORCH_CHECK_VALUE(config, "qnative: the function that builds backend '", name, "' gave null");
  return config;
}

std::vector<std::string> backend_names() { return Registry::instance().names(); }

BackendRegistrar::BackendRegistrar(const char* name, BackendBuilder build) noexcept {
  try {
    const std::string error = Registry::instance().add(name, std::move(build));
    if (!error.empty()) {
      Registry::instance().set_error(name, "while a library was loaded: " + error);
    }
  } catch (...) {
    // Out of memory: the name stays unknown and get_backend() reports that.
    return;
  }
}

}  // namespace qnative
