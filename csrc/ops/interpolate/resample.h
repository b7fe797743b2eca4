#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "pool/window.h"
#include "qnative/ops/interpolate.h"

// The pixels that each output of interpolate takes and their weights, by torch's formulas.
namespace qnative::ops {

enum class ResampleMode { kNearest, kNearestExact, kLinear, kCubic };

// All that the arguments and the shape of x determine, checked.
template <class Int>
struct Resample {
  int64_t rank;  // 1 to 3
  ResampleMode mode;
  bool align_corners;
  Spatial<std::optional<double>> scale;  // nothing where size is given
  Spatial<Int> out;

  bool is_nearest() const {
    return mode == ResampleMode::kNearest || mode == ResampleMode::kNearestExact;
  }
};
template <class Int>
Resample<Int> plan_resample(const char* op, const at::Tensor& x,
                            const BasicInterpolation<Int>& interpolation);

// The taps of one axis.
struct Taps {
  int count;                   // an output
  std::vector<int32_t> index;  // [outputs][count]
  std::vector<float> weight;   // [outputs][count]; empty for the nearest modes
};
Spatial<Taps> make_taps(const Spatial<int64_t>& size, const Resample<int64_t>& resample);

}  // namespace qnative::ops
