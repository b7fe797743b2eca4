// Functions that libtorch exports in some of the versions that the library runs under.
//
// The library is compiled with the headers of the oldest of these and runs under all later ones.
// What a later version no longer exports is here, hidden, so that nobody else sees it. No header
// of torch is included: its declarations would make the functions visible.
#include <stdexcept>
#include <string>

namespace c10 {

// Exported by libc10.so up to torch 2.14; an inline function of a header since 2.15.
[[noreturn]] void report_overflow(const char* name) {
  throw std::runtime_error(std::string("value cannot be converted to type ") + name +
                           " without overflow");
}

}  // namespace c10
