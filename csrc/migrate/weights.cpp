#include "weights.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <limits>

#include "qnative/limits.h"

namespace qnative::migration {

std::vector<IValue> call_unpacker(const std::string& op, const IValue& packed) {
  const auto handle = c10::Dispatcher::singleton().findSchema({op, ""});
  if (!handle) throw Unsupported("this torch has no " + op + " to read its weight with");
  torch::jit::Stack stack{packed};
  handle->callBoxed(&stack);
  return stack;
}

std::optional<at::Tensor> optional_tensor(const IValue& value) {
  if (value.isNone() || !value.toTensor().defined()) return std::nullopt;
  return value.toTensor().detach();
}

IValue as_constant(const std::optional<at::Tensor>& tensor) {
  return tensor ? IValue(*tensor) : IValue();
}

const void* identity(const IValue& packed) {
  if (packed.isTensor()) return packed.toTensor().unsafeGetTensorImpl();
  return packed.isObject() ? static_cast<const void*>(packed.toObject().get()) : nullptr;
}

Int8Weight int8_weight(const at::Tensor& quantized, int64_t axis) {
  if (!quantized.is_quantized() || quantized.scalar_type() != at::kQInt8) {
    throw Unsupported(std::string("its weight is ") + c10::toString(quantized.scalar_type()) +
                      ", not qint8");
  }
  const int64_t n = quantized.size(axis);
  at::Tensor scale;
  at::Tensor zero_point;
  if (quantized.qscheme() == at::kPerTensorAffine) {
    scale = at::full({n}, quantized.q_scale(), at::kFloat);
    zero_point = at::full({1}, quantized.q_zero_point(), at::kLong);
  } else if (quantized.q_per_channel_axis() == axis) {
    scale = quantized.q_per_channel_scales().to(at::kFloat);
    zero_point = quantized.q_per_channel_zero_points();
  } else {
    throw Unsupported("its weight is quantized along dimension " +
                      std::to_string(quantized.q_per_channel_axis()) + ", not " +
                      std::to_string(axis));
  }
  if (zero_point.ne(0).any().item<bool>()) {
    throw Unsupported("its weight is not symmetric: a zero point is not 0");
  }
  return {quantized.int_repr().contiguous(), scale.contiguous(), std::nullopt};
}

Int8Weight int8_weight(const std::vector<IValue>& unpacked, int64_t axis) {
  Int8Weight weight = int8_weight(unpacked[0].toTensor(), axis);
  weight.bias = optional_tensor(unpacked[1]);
  if (weight.bias) weight.bias = weight.bias->to(at::kFloat);
  return weight;
}

namespace {

constexpr float kTiny = std::numeric_limits<float>::min();

at::Tensor largest_of_rows(const at::Tensor& weight) {
  const at::Tensor most = weight.abs().amax(1);
  if (!most.isfinite().all().item<bool>()) throw Unsupported("its weight is not finite");
  return most;
}

// A row of zeros may have any scale.
at::Tensor scale_of(const at::Tensor& most) {
  return at::where(most > 0, most / 127, at::ones({})).clamp_min(kTiny);
}

}  // namespace

Int8Weight quantize_rows(const at::Tensor& weight) {
  const at::Tensor scale = scale_of(largest_of_rows(weight));
  const at::Tensor values = (weight / scale.unsqueeze(1)).round().clamp(-127, 127).to(at::kChar);
  return {values, scale, std::nullopt};
}

// The limits are those of qnative/lowering/packing.py, which tells why.
std::pair<Int8Weight, std::vector<int64_t>> spread_rows(const at::Tensor& weight) {
  constexpr double kLeastPeak = 5.0;
  constexpr int64_t kMostRepeated = 16;
  const at::Tensor most = largest_of_rows(weight);
  const at::Tensor share = weight / most.clamp_min(kTiny).unsqueeze(1);
  const at::Tensor typical = most * share.square().mean(1).sqrt();
  const int64_t inputs = weight.size(1);
  const int64_t room = std::min(inputs / kMostRepeated, kMaxProductsU8S8 - inputs);
  at::Tensor scale;
  at::Tensor codes;
  at::Tensor more;
  for (double peak = kLeastPeak;; peak *= 1.25) {
    scale = scale_of(at::minimum(most, typical * peak));
    codes = (weight / scale.unsqueeze(1)).round();
    more = (codes.abs().amax(0) / 127).ceil().clamp_min(1).to(at::kLong) - 1;
    if (more.sum().item<int64_t>() <= room) break;
  }
  const at::Tensor repeated = at::arange(inputs).repeat_interleave(more);
  std::vector<at::Tensor> parts{codes.clamp(-127, 127)};
  at::Tensor rest = codes - parts[0];
  std::vector<int64_t> columns;
  parts.reserve(repeated.numel() + 1);
  columns.reserve(repeated.numel());
  for (int64_t i = 0; i < repeated.numel(); ++i) {
    columns.push_back(repeated[i].item<int64_t>());
    const at::Tensor left = rest.select(1, columns.back());
    const at::Tensor part = left.clamp(-127, 127);
    left.sub_(part);
    parts.push_back(part.unsqueeze(1));
  }
  return {{at::cat(parts, 1).to(at::kChar), scale, std::nullopt}, columns};
}

}  // namespace qnative::migration
