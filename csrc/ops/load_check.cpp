#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstring>

// A second copy of the library cannot register the ops again: torch ends the process, with a
// message about namespaces. This names the two files.
namespace {

struct Copies {
  const char* own;
  const char* other;
};

int find_other_copy(dl_phdr_info* info, size_t, void* data) {
  auto* const copies = static_cast<Copies*>(data);
  const char* const slash = std::strrchr(info->dlpi_name, '/');
  const bool is_qnative = slash != nullptr && std::strcmp(slash, "/libqnative.so") == 0;
  if (is_qnative && std::strcmp(info->dlpi_name, copies->own) != 0) copies->other = info->dlpi_name;
  return copies->other != nullptr;
}

// 101 is the first priority that programs may have: before torch's static registrations.
__attribute__((constructor(101))) void say_which_copies_are_loaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&say_which_copies_are_loaded), &self) == 0) return;
  Copies copies{self.dli_fname, nullptr};
  dl_iterate_phdr(find_other_copy, &copies);
  if (copies.other == nullptr) return;
  std::fprintf(stderr,
               "qnative: the process has loaded %s and now loads a second copy, %s; its ops can be "
               "registered only once. Load one of them.\n",
               copies.other, copies.own);
}

}  // namespace
