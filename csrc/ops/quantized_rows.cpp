#include "quantized_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "dispatch.h"
#include "quantize/quantize.h"

namespace qnative::ops {

void quantize_row(const float* x, int64_t k, int64_t i, const QuantizedRows& rows) {
  static auto& min_max = select(quantize::min_max_kernels());
  static auto& quantize = select(quantize::quantize_kernels());
  uint8_t* const q = rows.q + i * rows.stride;
  float low, high;
  min_max(x, k, &low, &high);
  if (!std::isfinite(low) || !std::isfinite(high)) {
    std::memset(q, 0, rows.stride);
    rows.scale[i] = std::numeric_limits<float>::quiet_NaN();
    rows.zero_point[i] = 0;
    return;
  }
  low = std::min(low, 0.0f);
  high = std::max(high, 0.0f);
  // A difference of floats may overflow float32; the inverse of a denormal scale would.
  const auto scale = std::max(static_cast<float>((double{high} - double{low}) / 255),
                              std::numeric_limits<float>::min());
  const float inverse_scale = 1.0f / scale;
  const auto zero_point =
      static_cast<int32_t>(std::min(std::nearbyint(-low * inverse_scale), 255.0f));
  quantize(x, q, k, inverse_scale, {.zero_point = zero_point, .lo = 0, .hi = 255, .flip = 0});
  std::memset(q + k, 0, rows.stride - k);
  rows.scale[i] = scale;
  rows.zero_point[i] = -zero_point;
}

}  // namespace qnative::ops
