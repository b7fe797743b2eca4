#include "common/empty.h"

#include <c10/core/CPUAllocator.h>

#include "qnative/allocator.h"

namespace qnative {
namespace {

thread_local c10::Allocator* current = nullptr;

// The allocator that storages of results keep: they may grow without the guard and on other
// threads.
class Forwarding final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    c10::Allocator* to = current == nullptr ? c10::GetCPUAllocator() : current;
    return to->allocate(size);
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

}  // namespace

AllocatorGuard::AllocatorGuard(c10::Allocator* allocator) : before_(current) {
  current = allocator;
}

AllocatorGuard::~AllocatorGuard() { current = before_; }

namespace ops {

c10::Allocator* output_allocator() {
  static Forwarding forwarding;
  return current == nullptr ? c10::GetCPUAllocator() : &forwarding;
}

}  // namespace ops
}  // namespace qnative
