#include "product/planned.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>

namespace qnative::ops {

KeptChannelParams::KeptChannelParams(at::ScalarType x_dtype, const ChannelParams& params,
                                     const WeightLayout& layout)
    : x_dtype_(x_dtype),
      memory_(c10::GetCPUAllocator()->allocate(ChannelParams::bytes(layout))),
      params_(params) {
  auto* next = static_cast<std::byte*>(memory_.get());
  const int64_t channels = layout.groups * layout.padded_n();
  const auto keep = [&]<class T>(const T*& values) {
    T* const to = reinterpret_cast<T*>(next);
    std::copy_n(values, channels, to);
    values = to;
    next += Scratch::bytes<T>(channels);
  };
  keep(params_.start);
  keep(params_.multiplier);
  keep(params_.bias);
}

}  // namespace qnative::ops
