#pragma once

#include <ATen/ATen.h>

#include "common/empty.h"

// Shape and strides of the outputs of elementwise ops: those that TensorIterator gives, also for
// symbolic sizes.
namespace qnative::ops {

template <class Int>
using Dims = c10::SmallVector<Int, at::kDimVectorStaticSize>;

template <class Int>
struct Layout {
  Dims<Int> sizes, strides;
};

// The common shape of `shapes`; an error names `op` when they do not broadcast.
template <class Int>
Dims<Int> broadcast_shapes(const char* op, at::ArrayRef<at::ArrayRef<Int>> shapes);

// The layout of the broadcast of `operands`; an error names `op` when they do not broadcast.
template <class Int>
Layout<Int> elementwise_layout(const char* op, at::TensorList operands);

// Dimensions from the fastest varying to the slowest, as TensorIterator orders them.
template <class Int>
Dims<int64_t> physical_order(at::ArrayRef<Int> sizes, at::ArrayRef<Dims<Int>> strides);

// Uninitialized, on the CPU and on Meta.
inline at::Tensor empty(const Layout<int64_t>& layout, at::ScalarType dtype) {
  return empty_strided(layout.sizes, layout.strides, dtype);
}
inline at::Tensor empty(const Layout<c10::SymInt>& layout, at::ScalarType dtype) {
  return at::empty_strided_symint(layout.sizes, layout.strides,
                                  at::TensorOptions(at::kMeta).dtype(dtype));
}

// x, of the shape of y, with elements in the order in memory of y: x itself, borrowed, where they
// are already.
c10::MaybeOwned<at::Tensor> with_layout_of(const at::Tensor& x, const at::Tensor& y);

}  // namespace qnative::ops
