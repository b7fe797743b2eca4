#include "dynamic.h"
#include "qnative/limits.h"
#include "qnative/ops.h"

// Layers with quantized weights and float inputs and outputs.
namespace qnative::migration {
namespace {

void linear_dynamic(CallSite& site) {
  const IValue packed = site.constant("W_prepack");
  auto& made = site.packed(identity(packed))["linear"];
  if (made.empty()) made = linear_constants(packed_linear(packed));
  Args args{site.arg("X")};
  for (const IValue& each : made) args.emplace_back(site.insert(each));
  if (site.kind().find("_relu") != std::string::npos) args.emplace_back("relu");
  const bool half = site.kind().ends_with("_fp16");
  site.becomes(site.call(half ? "qnative::linear_dynamic_fp16" : "qnative::linear_dynamic", args));
}

void linear_plain_fp16(CallSite& site) {
  const at::Tensor weight = site.constant("weight").toTensor().detach();
  Args args{site.arg("X"), site.insert(ops::linear_fp16_pack(weight)), site.arg("bias"),
            site.insert(weight.sizes().vec())};
  site.becomes(site.call("qnative::linear_dynamic_fp16", args));
}

}  // namespace

PackedWeight packed_linear(const IValue& packed) {
  const std::vector<IValue> both = call_unpacker("quantized::linear_unpack", packed);
  if (!both[0].toTensor().is_quantized()) {
    return half_weight(both[0].toTensor().detach(), optional_tensor(both[1]));
  }
  const Int8Weight weight = int8_weight(both, 0);
  check_products(weight.values.size(1));
  return {ops::linear_pack(weight.values), weight.scale, weight.bias, weight.values.sizes()};
}

PackedWeight half_weight(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  return {ops::linear_fp16_pack(weight), {}, bias, weight.sizes()};
}

std::vector<IValue> linear_constants(const PackedWeight& weight) {
  std::vector<IValue> made{weight.data};
  if (weight.scale.defined()) made.emplace_back(weight.scale);
  made.emplace_back(as_constant(weight.bias));
  made.emplace_back(at::IntArrayRef(weight.shape).vec());
  return made;
}

void check_products(int64_t k) {
  if (k > kMaxProductsU8S8) {
    throw Unsupported("it sums " + std::to_string(k) + " products, more than " +
                      std::to_string(kMaxProductsU8S8));
  }
}

const Handlers& dynamic_handlers() {
  static const Handlers handlers = {
      {"quantized::linear_dynamic", linear_dynamic},
      {"quantized::linear_relu_dynamic", linear_dynamic},
      {"quantized::linear_dynamic_fp16", linear_dynamic},
      {"quantized::linear_relu_dynamic_fp16", linear_dynamic},
      {"quantized::linear_dynamic_fp16_unpacked_weight", linear_plain_fp16},
  };
  return handlers;
}

}  // namespace qnative::migration
