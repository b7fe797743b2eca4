#include "compare.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace qnative::migration {
namespace {

void add_tensors(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    const at::Tensor tensor = value.toTensor();
    tensors.push_back(tensor.is_quantized() ? tensor.dequantize() : tensor);
  } else if (value.isTuple()) {
    for (const auto& each : value.toTupleRef().elements()) add_tensors(each, tensors);
  } else if (value.isList()) {
    for (const c10::IValue& each : value.toList().vec()) add_tensors(each, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& each : value.toGenericDict()) add_tensors(each.value(), tensors);
  }
}

// Copies the inputs: the model may write to them.
std::vector<at::Tensor> outputs(torch::jit::Module& module,
                                const std::vector<c10::IValue>& inputs) {
  std::vector<c10::IValue> copies;
  copies.reserve(inputs.size());
  for (const c10::IValue& input : inputs) copies.push_back(input.deepcopy());
  std::vector<at::Tensor> tensors;
  add_tensors(module.forward(copies), tensors);
  return tensors;
}

// torch's message would only say that it is not defined.
void check_has_forward(const torch::jit::Module& module) {
  if (module.find_method("forward")) return;
  std::string methods;
  for (const auto& method : module.get_methods()) {
    if (!methods.empty()) methods += ", ";
    methods += method.name();
  }
  TORCH_CHECK(
      false, "qnative::migrate: outputs cannot be compared, the model has no method forward, only ",
      methods,
      ". TorchScript gives a bare LSTM or GRU one for each overload of forward, and nothing "
      "can call it: script a module that holds the layer and calls it");
}

}  // namespace

OutputDifference compare(torch::jit::Module& before, torch::jit::Module& after,
                         const std::vector<c10::IValue>& inputs) {
  check_has_forward(before);
  const std::vector<at::Tensor> old = outputs(before, inputs);
  const std::vector<at::Tensor> now = outputs(after, inputs);
  TORCH_CHECK(old.size() == now.size(), "qnative::migrate: the model returned ", old.size(),
              " tensors and now returns ", now.size());
  OutputDifference result;
  double sum = 0;
  for (size_t i = 0; i < old.size(); ++i) {
    TORCH_CHECK(old[i].sizes() == now[i].sizes(), "qnative::migrate: output ", i, " had shape ",
                old[i].sizes(), " and now has ", now[i].sizes());
    if (old[i].numel() == 0) continue;
    const at::Tensor a = old[i].to(at::kDouble);
    const at::Tensor b = now[i].to(at::kDouble);
    // Equal infinities and NaN in the same place are no difference.
    const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
    const at::Tensor difference = at::where(same, at::zeros({}, a.options()), (a - b).abs());
    result.max = std::max(result.max, difference.max().item<double>());
    sum += difference.sum().item<double>();
    result.elements += a.numel();
  }
  if (result.elements > 0) result.mean = sum / static_cast<double>(result.elements);
  return result;
}

}  // namespace qnative::migration
