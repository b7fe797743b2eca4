#pragma once

#include <functional>
#include <string>
#include <vector>

#include "qnative/config.h"

// Backends by name. A library registers its backend when it is loaded, by torch.ops.load_library or
// by the linker, with one object at namespace scope:
//
//   static const qnative::BackendRegistrar registrar("mylib", [] { return my_backend_config(); });
//
// From then on Python accepts "mylib" wherever it accepts a backend config. All functions may be
// called from any thread.
namespace qnative {

using BackendBuilder = std::function<c10::intrusive_ptr<BackendConfig>()>;

// Throws c10::ValueError for an empty name, a name that is taken, and an empty function.
QNATIVE_API void register_backend(const std::string& name, BackendBuilder build);
// Returns whether there was one. Throws c10::ValueError for qnative's own backends, which stay.
QNATIVE_API bool unregister_backend(const std::string& name);

// Calls the function registered under `name`: get_native_backend_config() for "native", and so on
// for all functions of backends.h. Throws c10::ValueError for an unknown name (with the valid
// names), for a name that two libraries registered, and if the function returns null.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_backend(const std::string& name);
// In alphabetical order, without the private ones, whose names begin with '_'.
QNATIVE_API std::vector<std::string> backend_names();

// Registers a backend while a library is loaded. Nothing can catch an error then: get_backend()
// reports it.
struct QNATIVE_API BackendRegistrar {
  BackendRegistrar(const char* name, BackendBuilder build) noexcept;
};

}  // namespace qnative
