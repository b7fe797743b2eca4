#pragma once

#include <float.h>

#include "channel_params.h"

namespace qnative::channel_params {

Fn scale_scalar;

namespace {

// V: vectors of kLanes floats, and arithmetic on them in float64.
template <class V>
Summary run(const Args& args) {
  using F = typename V::Floats;
  const F zero = V::floats(0.0f), largest = V::floats(FLT_MAX);
  const F small_multiplier = V::floats(kSmallMultiplier), small_bias = V::floats(kSmallBias);
  typename V::Flags valid = V::all(), small = V::all();
  int64_t i = 0;
  for (; i + V::kLanes <= args.n; i += V::kLanes) {
    const F scale = V::load(args.weight_scale + i);
    const F multiplier = V::scaled(scale, args.x_scale, args.y_scale);
    const F bias = args.real_bias == nullptr
                       ? zero
                       : V::scaled(V::load(args.real_bias + i), 1.0, args.y_scale);
    valid = V::both(valid, V::both(V::below(zero, scale), V::up_to(multiplier, largest)));
    small = V::both(small, V::both(V::up_to(V::magnitude(multiplier), small_multiplier),
                                   V::up_to(V::magnitude(bias), small_bias)));
    V::store(args.multiplier + i, multiplier);
    V::store(args.bias + i, bias);
  }
  Args rest = args;
  rest.weight_scale += i;
  if (args.real_bias != nullptr) rest.real_bias += i;
  rest.multiplier += i;
  rest.bias += i;
  rest.n -= i;
  const Summary tail = scale_scalar(rest);
  return {.valid = tail.valid && V::is_all(valid), .small = tail.small && V::is_all(small)};
}

}  // namespace
}  // namespace qnative::channel_params
