#include "common/empty.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>

#include "qnative/allocator.h"

namespace qnative {
namespace {

// What the guards of a thread have set.
struct Current {
  c10::Allocator* allocator = nullptr;
  TensorAllocator* tensors = nullptr;
};
thread_local Current current;

// The allocator that storages of results keep: they may grow without the guard and on other
// threads.
class Forwarding final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    c10::Allocator* to = current.allocator == nullptr ? c10::GetCPUAllocator() : current.allocator;
    return to->allocate(size);
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

c10::Allocator* output_allocator(const Current& set) {
  static Forwarding forwarding;
  return set.allocator == nullptr ? c10::GetCPUAllocator() : &forwarding;
}

constexpr c10::DispatchKeySet kCpu(c10::DispatchKey::CPU);

// Strides of dimensions that vary in `order`, the fastest first; none of them is empty.
template <size_t kRank>
void fill_strides(at::IntArrayRef sizes, const std::array<int, kRank>& order, int64_t* strides) {
  int64_t next = 1;
  for (const int dim : order) {
    strides[dim] = next;
    next *= sizes[dim];
  }
}

at::DimVector dense_strides(at::IntArrayRef sizes, at::MemoryFormat format) {
  at::DimVector strides(sizes.size());
  if (format == at::MemoryFormat::ChannelsLast) {
    fill_strides<4>(sizes, {1, 3, 2, 0}, strides.data());
  } else if (format == at::MemoryFormat::ChannelsLast3d) {
    fill_strides<5>(sizes, {1, 4, 3, 2, 0}, strides.data());
  } else {
    int64_t next = 1;
    for (size_t dim = sizes.size(); dim-- > 0; next *= sizes[dim]) strides[dim] = next;
  }
  return strides;
}

bool is_empty(at::IntArrayRef sizes) {
  return std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
}

}  // namespace

at::Tensor TensorAllocator::make(at::IntArrayRef sizes, at::IntArrayRef strides,
                                 at::ScalarType dtype) {
  return at::Tensor(
      at::detail::empty_strided_generic(sizes, strides, output_allocator(current), kCpu, dtype));
}

AllocatorGuard::AllocatorGuard(c10::Allocator* allocator)
    : before_(current.allocator), tensors_before_(current.tensors) {
  current = {allocator, nullptr};
}

AllocatorGuard::AllocatorGuard(TensorAllocator& allocator)
    : before_(current.allocator), tensors_before_(current.tensors) {
  current = {&allocator, &allocator};
}

AllocatorGuard::~AllocatorGuard() { current = {before_, tensors_before_}; }

namespace ops {

at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype, at::MemoryFormat format) {
  const Current set = current;
  if (set.tensors != nullptr && !is_empty(sizes)) {
    return set.tensors->empty(sizes, dense_strides(sizes, format), dtype);
  }
  return at::Tensor(at::detail::empty_generic(sizes, output_allocator(set), kCpu, dtype, format));
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) {
  const Current set = current;
  if (set.tensors != nullptr && !is_empty(sizes)) {
    return set.tensors->empty(sizes, strides, dtype);
  }
  return at::Tensor(
      at::detail::empty_strided_generic(sizes, strides, output_allocator(set), kCpu, dtype));
}

}  // namespace ops
}  // namespace qnative
