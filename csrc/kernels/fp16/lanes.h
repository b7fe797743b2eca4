#pragma once

#include "fp16.h"

namespace qnative::fp16 {
namespace {

// The sum of kLanes numbers: adds the upper half to the lower half until one is left.
template <class T>
T sum_lanes(T* lanes) {
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace
}  // namespace qnative::fp16
