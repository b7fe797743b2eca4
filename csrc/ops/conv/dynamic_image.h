#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "product/dynamic_qparams.h"

// float32 images as uint8, each with a scale and a zero point of its own.
namespace qnative::ops {

// Dense images of float32, of four or five dimensions: planes ([N, C, ...]) or pixels (channels
// last).
class DynamicImages {
 public:
  // x: from to_image(); copied if it is neither.
  explicit DynamicImages(const at::Tensor& x);

  int64_t count() const { return x_.size(0); }
  int64_t size() const { return channels_ * pixels_; }  // values of an image
  // Uninitialized, for one image in uint8, channels last.
  at::Tensor empty_image() const;
  // Quantizes image i to `to`, which is empty_image(). Nothing for an image that holds NaN or an
  // infinity.
  std::optional<DynamicQParams> quantize(int64_t i, const at::Tensor& to) const;

 private:
  void quantize_planes(const float* x, uint8_t* y, const DynamicQParams& qparams) const;

  at::Tensor x_;
  at::MemoryFormat format_;
  bool is_planes_;
  int64_t channels_, pixels_;
};

}  // namespace qnative::ops
