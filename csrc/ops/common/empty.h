#pragma once

#include <ATen/ATen.h>

// Memory of outputs, without a way through the dispatcher.
namespace qnative::ops {

// Uninitialized, in memory of qnative/allocator.h, else torch's.
at::Tensor empty(at::IntArrayRef sizes, at::ScalarType dtype,
                 at::MemoryFormat format = at::MemoryFormat::Contiguous);
at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype);

}  // namespace qnative::ops
