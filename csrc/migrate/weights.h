#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "rewriter.h"

// Reads old packed parameters through the ops of the torch that loaded them, so that no header of
// theirs is needed.
namespace qnative::migration {

// The results of an op called with one argument.
std::vector<IValue> call_unpacker(const std::string& op, const IValue& packed);

struct Int8Weight {
  at::Tensor values;  // int8
  at::Tensor scale;   // float32, one for each index of the axis
  std::optional<at::Tensor> bias;
};

// A quantized tensor as plain ones. Unsupported unless it is qint8 with zero points of 0, quantized
// along `axis` or as a whole.
Int8Weight int8_weight(const at::Tensor& quantized, int64_t axis);
// The same with the bias: unpacked = {weight, bias}.
Int8Weight int8_weight(const std::vector<IValue>& unpacked, int64_t axis);

std::optional<at::Tensor> optional_tensor(const IValue& value);
IValue as_constant(const std::optional<at::Tensor>& tensor);

// The identity of a packed object or tensor.
const void* identity(const IValue& packed);

}  // namespace qnative::migration
