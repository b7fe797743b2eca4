#include <cmath>
#include <limits>

#include "channel_params.h"

namespace qnative::channel_params {

Summary scale_scalar(const Args& args) {
  Summary summary{.valid = true, .small = true};
  for (int64_t i = 0; i < args.n; ++i) {
    const float multiplier = static_cast<float>(args.x_scale * args.weight_scale[i] / args.y_scale);
    const float bias =
        args.real_bias == nullptr ? 0.0f : static_cast<float>(args.real_bias[i] / args.y_scale);
    // Comparisons with NaN are false.
    summary.valid &=
        (args.weight_scale[i] > 0) && (multiplier <= std::numeric_limits<float>::max());
    summary.small &= (std::abs(multiplier) <= kSmallMultiplier) && (std::abs(bias) <= kSmallBias);
    args.multiplier[i] = multiplier;
    args.bias[i] = bias;
  }
  return summary;
}

}  // namespace qnative::channel_params
