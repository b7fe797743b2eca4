#pragma once

#include <c10/core/CPUAllocator.h>

#include <cstddef>
#include <cstdint>

// Temporary memory of one call, in one allocation, or none when it is small: allocating would be a
// good part of the time of a small op.
namespace qnative::ops {

class Scratch {
 public:
  explicit Scratch(int64_t bytes) {
    if (bytes <= static_cast<int64_t>(sizeof(local_))) {
      next_ = local_;
    } else {
      heap_ = c10::GetCPUAllocator()->allocate(bytes);
      next_ = static_cast<std::byte*>(heap_.get());
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // What take<T>(count) needs: parts are 64-byte aligned.
  template <class T>
  static int64_t bytes(int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  }

  template <class T>
  T* take(int64_t count) {
    T* part = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return part;
  }

 private:
  alignas(64) std::byte local_[4096];
  c10::DataPtr heap_;
  std::byte* next_;
};

}  // namespace qnative::ops
