#pragma once

#include <cstddef>
#include <cstdint>

#include "blocks.h"

// Temporary memory of one call.
//
// It comes from memory that the thread keeps, up to a limit. Memory of the heap would take a good
// part of the time of a small op, and, taken and given back between large outputs, lets every
// output lie at another place, which no cache holds: 1.4 times slower where outputs have megabytes.
namespace qnative::ops {

// Objects of a thread are destroyed in the reverse order of their construction, on that thread.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // The bytes that take<T>(count) needs: parts are 64-byte aligned.
  template <class T>
  static int64_t bytes(int64_t count) {
    return round_up(count * static_cast<int64_t>(sizeof(T)), 64);
  }

  template <class T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return part;
  }

 private:
  int64_t kept_bytes_;  // of the thread's memory, 0 when the memory is of the heap
  std::byte* begin_;
  std::byte* next_;
};

}  // namespace qnative::ops
