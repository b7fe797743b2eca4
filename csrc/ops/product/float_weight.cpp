#include "product/float_weight.h"

#include <limits>

namespace qnative::ops {

at::Tensor finite_magnitudes(const char* op, const at::Tensor& weight, const char* what) {
  const at::Tensor max = weight.abs().amax(1);
  TORCH_CHECK(max.isfinite().all().item<bool>(), "qnative::", op,
              ": weight must be finite, got inf or NaN in ", what, " ",
              max.isfinite().logical_not().to(at::kByte).argmax().item<int64_t>());
  return max;
}

at::Tensor weight_scale_of(const at::Tensor& magnitude) {
  return at::where(magnitude > 0, magnitude / 127, at::ones({}))
      .clamp_min(std::numeric_limits<float>::min());
}

at::Tensor weight_codes(const at::Tensor& weight, const at::Tensor& scale) {
  return (weight / scale.unsqueeze(1)).round();
}

}  // namespace qnative::ops
