#include "product/planned.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>

#include "conv/plan.h"

namespace qnative {
namespace ops {

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

}  // namespace ops

std::unique_ptr<PlannedOp> plan_op(std::string_view name, c10::ArrayRef<c10::IValue> constants) {
  if (name == "qnative::linear") return ops::plan_linear_op(constants);
  for (const ops::ConvKind* kind : {&ops::kConv1d, &ops::kConv2d, &ops::kConv3d}) {
    const std::string op = std::string("qnative::") + kind->name;
    if (name == op) return ops::plan_conv_op(*kind, false, constants);
    if (name == op + ".padding") return ops::plan_conv_op(*kind, true, constants);
  }
  return nullptr;
}

}  // namespace qnative
