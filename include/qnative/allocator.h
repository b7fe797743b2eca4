#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

#include "qnative/export.h"

// The memory of results.
//
//   const qnative::AllocatorGuard guard(&pool);
//   const QTensor y = ops::linear(x, w, spec);  // in memory of `pool`
//
// A guard is for the thread that makes it.
namespace qnative {

// An allocator that may keep tensors as well as their memory: making one takes as long as a small
// op.
class QNATIVE_API TensorAllocator : public c10::Allocator {
 public:
  // Uninitialized, on the CPU. sizes and strides: of a dense tensor that is not empty.
  virtual at::Tensor empty(at::IntArrayRef sizes, at::IntArrayRef strides,
                           at::ScalarType dtype) = 0;

 protected:
  // One that is not kept, in memory of the allocator that the thread's guard has set.
  static at::Tensor make(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype);
};

// While it lives, results of qnative's ops that are called on this thread lie in memory of
// `allocator`, which must outlive them, or are made by it. Guards nest; null is torch's allocator.
class QNATIVE_API AllocatorGuard {
 public:
  explicit AllocatorGuard(c10::Allocator* allocator);
  explicit AllocatorGuard(TensorAllocator& allocator);
  ~AllocatorGuard();
  AllocatorGuard(const AllocatorGuard&) = delete;
  AllocatorGuard& operator=(const AllocatorGuard&) = delete;

 private:
  c10::Allocator* before_;
  TensorAllocator* tensors_before_;
};

}  // namespace qnative
