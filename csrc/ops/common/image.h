#pragma once

#include <ATen/ATen.h>

#include <array>

// torch's images of `dims` dimensions, [N, C, (D, (H,)) W] or without N, to [N, C, H, W] or
// [N, C, D, H, W] and back.
namespace qnative::ops {

// A value for depth, height and width. An op of fewer dimensions has, for those that it lacks in
// front, the value that changes nothing.
template <class T>
using Spatial = std::array<T, 3>;

inline bool has_batch(const at::Tensor& x, int64_t dims) { return x.dim() == dims + 2; }

inline at::Tensor to_image(const at::Tensor& x, int64_t dims) {
  const at::Tensor batch = has_batch(x, dims) ? x : x.unsqueeze(0);
  return dims == 1 ? batch.unsqueeze(2) : batch;
}

// y: of the form that to_image() gives.
inline at::Tensor from_image(const at::Tensor& y, int64_t dims, bool has_batch) {
  const at::Tensor batch = dims == 1 ? y.squeeze(2) : y;
  return has_batch ? batch : batch.squeeze(0);
}

}  // namespace qnative::ops
