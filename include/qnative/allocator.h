#pragma once

#include <c10/core/Allocator.h>

#include "qnative/export.h"

// The memory of results.
//
//   const qnative::AllocatorGuard guard(&pool);
//   const QTensor y = ops::linear(x, w, spec);  // in memory of `pool`
//
// A guard is for the thread that makes it.
namespace qnative {

// While it lives, results of qnative's ops that are called on this thread lie in memory of
// `allocator`, which must outlive them. Guards nest; null is torch's allocator.
class QNATIVE_API AllocatorGuard {
 public:
  explicit AllocatorGuard(c10::Allocator* allocator);
  ~AllocatorGuard();
  AllocatorGuard(const AllocatorGuard&) = delete;
  AllocatorGuard& operator=(const AllocatorGuard&) = delete;

 private:
  c10::Allocator* before_;
};

}  // namespace qnative
