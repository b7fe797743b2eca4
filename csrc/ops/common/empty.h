#pragma once

#include <ATen/EmptyTensor.h>

// Memory of outputs, without a way through the dispatcher.
namespace qnative::ops {

// That of qnative/allocator.h, else torch's.
c10::Allocator* output_allocator();

inline at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype,
                        at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  constexpr c10::DispatchKeySet kCpu(c10::DispatchKey::CPU);
  return at::Tensor(at::detail::empty_generic(sizes, output_allocator(), kCpu, dtype, format));
}
inline at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides,
                                at::ScalarType dtype) {
  constexpr c10::DispatchKeySet kCpu(c10::DispatchKey::CPU);
  return at::Tensor(
      at::detail::empty_strided_generic(sizes, strides, output_allocator(), kCpu, dtype));
}

}  // namespace qnative::ops
