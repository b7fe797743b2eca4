#pragma once

#include <array>
#include <atomic>
#include <memory>

namespace qnative::ops {

// Up to kMax values that are made once. Any number of threads may add and find at the same time,
// none waits.
template <class T, size_t kMax>
class KeptList {
 public:
  KeptList() = default;
  ~KeptList() {
    for (auto& place : places_) delete place.load();
  }
  KeptList(const KeptList&) = delete;
  KeptList& operator=(const KeptList&) = delete;

  // The first value that fits, or null.
  template <class Fits>
  const T* find(const Fits& fits) const {
    for (const auto& place : places_) {
      const T* const value = place.load(std::memory_order_acquire);
      if (value == nullptr) return nullptr;
      if (fits(*value)) return value;
    }
    return nullptr;
  }

  // The first value that fits: `value`, unless another thread was faster. Null if there is no room.
  template <class Fits>
  const T* add(std::unique_ptr<const T>& value, const Fits& fits) {
    for (auto& place : places_) {
      const T* kept = nullptr;
      if (place.compare_exchange_strong(kept, value.get(), std::memory_order_acq_rel)) {
        return value.release();
      }
      if (fits(*kept)) return kept;
    }
    return nullptr;
  }

 private:
  std::array<std::atomic<const T*>, kMax> places_{};
};

}  // namespace qnative::ops
