#include "weights.h"

#include <ATen/core/dispatch/Dispatcher.h>

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

}  // namespace qnative::migration
