#pragma once

#include "fp16.h"

namespace qnative::fp16 {
namespace {

// The sum of kLanes numbers, of which the upper half is added to the lower one until one is left.
template <class T>
T sum_lanes(T* lanes) {
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace
}  // namespace qnative::fp16
