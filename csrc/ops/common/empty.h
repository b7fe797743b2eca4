#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>

// Memory of outputs, without a way through the dispatcher.
namespace qnative::ops {

inline at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype,
                        at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  return at::Tensor(at::detail::empty_cpu(sizes, dtype, false, format));
}
inline at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides,
                                at::ScalarType dtype) {
  return at::Tensor(at::detail::empty_strided_cpu(sizes, strides, dtype));
}

}  // namespace qnative::ops
