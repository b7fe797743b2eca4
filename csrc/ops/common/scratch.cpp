#include "common/scratch.h"

#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>

namespace qnative::ops {
namespace {

constexpr int64_t kMaxKept = int64_t{1} << 20;
constexpr int64_t kMinKept = int64_t{1} << 16;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeeps = false;  // so that every part has bounds that are watched
#else
constexpr bool kKeeps = true;
#endif

// A stack. It grows only while nobody has a part of it, to what calls have wanted.
class Kept {
 public:
  Kept() = default;
  ~Kept() { c10::free_cpu(begin_); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  // Null when there is no room.
  std::byte* push(int64_t bytes) {
    if (used_ + bytes > size_) wanted_ = std::max(wanted_, used_ + bytes);
    if (used_ == 0 && wanted_ > size_) grow();
    if (used_ + bytes > size_) return nullptr;
    std::byte* const part = begin_ + used_;
    used_ += bytes;
    return part;
  }
  void pop(int64_t bytes) { used_ -= bytes; }

 private:
  void grow() {
    const int64_t size = std::clamp(wanted_, kMinKept, kMaxKept);
    if (size == size_) return;
    c10::free_cpu(begin_);
    size_ = 0;
    begin_ = nullptr;  // allocating may throw
    begin_ = static_cast<std::byte*>(c10::alloc_cpu(size));
    size_ = size;
  }

  std::byte* begin_ = nullptr;
  int64_t size_ = 0, used_ = 0, wanted_ = 0;
};

thread_local Kept kept;

}  // namespace

Scratch::Scratch(int64_t bytes) : kept_bytes_(round_up(bytes, 64)), begin_(nullptr) {
  // The destructor tells where the memory is from by kept_bytes_, so nothing is never pushed.
  if (kKeeps && kept_bytes_ > 0) begin_ = kept.push(kept_bytes_);
  if (begin_ == nullptr) {
    kept_bytes_ = 0;
    begin_ = static_cast<std::byte*>(c10::alloc_cpu(bytes));
  }
  next_ = begin_;
}

Scratch::~Scratch() {
  if (kept_bytes_ > 0) {
    kept.pop(kept_bytes_);
  } else {
    c10::free_cpu(begin_);
  }
}

}  // namespace qnative::ops
