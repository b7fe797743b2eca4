#pragma once

#include <functional>
#include <string>
#include <vector>

#include "qnative/config.h"

// Backends by name. A library brings its own when it is loaded, by torch.ops.load_library or by the
// linker, with one object at namespace scope:
//
//   static const qnative::BackendRegistrar registrar("mylib", [] { return my_backend_config(); });
//
// From then on "mylib" is accepted wherever Python takes a backend config. All functions may be
// called from any thread.
namespace qnative {

using BackendBuilder = std::function<c10::intrusive_ptr<BackendConfig>()>;

// Throws c10::ValueError for an empty name, one that is taken, and an empty function.
QNATIVE_API void register_backend(const std::string& name, BackendBuilder build);
// Whether there was one. Throws c10::ValueError for qnative's own, which stay.
QNATIVE_API bool unregister_backend(const std::string& name);

// What the function registered under `name` builds: "native" is get_native_backend_config(), and so
// for all functions of backends.h. Throws c10::ValueError that lists the names there are for an
// unknown one, for one that two libraries registered, and when the function gives null.
QNATIVE_API c10::intrusive_ptr<BackendConfig> get_backend(const std::string& name);
// In alphabetical order.
QNATIVE_API std::vector<std::string> backend_names();

// Registers a backend while a library is loaded, where nothing can catch an error: get_backend
// reports it.
struct QNATIVE_API BackendRegistrar {
  BackendRegistrar(const char* name, BackendBuilder build) noexcept;
};

}  // namespace qnative
