#include "dynamic.h"
#include "qnative/ops.h"

// Float nodes whose weights are quantized.
namespace qnative::migration {
namespace {

at::Tensor as_float(const IValue& value, const char* name) {
  const at::Tensor tensor = value.toTensor().detach();
  if (tensor.scalar_type() != at::kFloat) {
    throw Unsupported(std::string("its argument ") + name + " is " +
                      c10::toString(tensor.scalar_type()) + ", not Float");
  }
  return tensor;
}

at::Tensor float_constant(const CallSite& site, const char* name) {
  return as_float(site.constant(name), name);
}

std::optional<at::Tensor> optional_float(const CallSite& site, const char* name) {
  if (site.constant(name).isNone()) return std::nullopt;
  return float_constant(site, name);
}

void check_matrix(const at::Tensor& weight) {
  if (weight.dim() != 2 || weight.numel() == 0) throw Unsupported("its weight is no matrix");
}

DynamicWeight int8_rows(const at::Tensor& weight, bool may_repeat) {
  check_products(weight.size(1));
  if (!weight.isfinite().all().item<bool>()) throw Unsupported("its weight is not finite");
  return ops::linear_dynamic_pack(weight, may_repeat);
}

// The weight of a recurrent layer or cell.
PackedWeight quantized(const at::Tensor& weight, at::ScalarType dtype) {
  check_matrix(weight);
  return dtype == at::kHalf ? half_weight(weight) : int8_rows(weight, false).weight;
}

void emit_linear(CallSite& site, Value* x, const at::Tensor& weight,
                 const std::optional<at::Tensor>& bias) {
  check_matrix(weight);
  if (bias && (bias->dim() != 1 || bias->size(0) != weight.size(0))) {
    throw Unsupported("its bias is not one number for each output");
  }
  const bool half = site.weight_dtype(at::kChar) == at::kHalf;
  auto [made, repeated] = half ? DynamicWeight{half_weight(weight), {}} : int8_rows(weight, true);
  made.bias = bias;
  Args args{x};
  for (const IValue& each : linear_constants(made)) args.emplace_back(site.insert(each));
  if (!repeated.empty()) {
    args.emplace_back("none");
    args.emplace_back(site.insert(std::vector<double>{}));
    args.emplace_back(site.insert(repeated));
  }
  site.becomes(site.call(half ? "qnative::linear_dynamic_fp16" : "qnative::linear_dynamic", args));
}

void quantize_linear(CallSite& site) {
  emit_linear(site, site.arg("input"), float_constant(site, "weight"),
              optional_float(site, "bias"));
}

void quantize_matmul(CallSite& site) {
  const char* weight = site.has("mat2") ? "mat2" : "other";
  const at::Tensor value = float_constant(site, weight);
  if (value.dim() != 2) throw Unsupported("its weight is no matrix");
  emit_linear(site, site.arg("self"), value.t().contiguous(), std::nullopt);
}

void quantize_addmm(CallSite& site) {
  if (site.real("alpha") != 1 || site.real("beta") != 1) throw Unsupported("it has factors");
  emit_linear(site, site.arg("mat1"), float_constant(site, "mat2").t().contiguous(),
              float_constant(site, "self"));
}

void quantize_layer(CallSite& site, const std::string& op) {
  const bool has_biases = site.flag("has_biases");
  const std::vector<IValue> params = site.constants("params");
  const int64_t directions = site.flag("bidirectional") ? 2 : 1;
  const size_t each = params.size() / (site.integer("num_layers") * directions);
  Recurrent made;
  for (size_t i = 0; i < params.size(); ++i) {
    const size_t place = i % each;
    const at::Tensor value = as_float(params[i], "params");
    const bool bias = has_biases && (place == 2 || place == 3);
    bias ? made.biases.push_back(value)
         : made.weights.push_back(quantized(value, site.weight_dtype(at::kChar)));
  }
  emit_layer(site, op, made);
}

void quantize_lstm(CallSite& site) { quantize_layer(site, "qnative::lstm"); }
void quantize_gru(CallSite& site) { quantize_layer(site, "qnative::gru"); }

void quantize_cell(CallSite& site) {
  Recurrent made;
  for (const char* name : {"w_ih", "w_hh"}) {
    made.weights.push_back(quantized(float_constant(site, name), site.weight_dtype(at::kHalf)));
  }
  for (const char* name : {"b_ih", "b_hh"}) {
    if (const auto bias = optional_float(site, name)) made.biases.push_back(*bias);
  }
  if (made.biases.size() == 1) throw Unsupported("it has one bias where qnative has two or none");
  const std::string kind = site.kind();
  emit_cell(site, "qnative::" + kind.substr(kind.rfind(':') + 1), made);
}

void quantize_embedding(CallSite& site) {
  const at::Tensor weight = float_constant(site, "weight");
  emit_embedding(site, {ops::embedding_8bit_pack(weight), std::nullopt});
}

void quantize_embedding_bag(CallSite& site) {
  const auto outputs = site.node()->outputs();
  for (size_t i = 1; i < outputs.size(); ++i) {
    if (outputs[i]->hasUses()) throw Unsupported("more than its first output is used");
  }
  const at::Tensor weight = float_constant(site, "weight");
  emit_embedding_bag(site, {ops::embedding_8bit_pack(weight), std::nullopt});
}

}  // namespace

const Handlers& float_handlers() {
  static const Handlers handlers = {
      {"aten::linear", quantize_linear},       {"aten::matmul", quantize_matmul},
      {"aten::mm", quantize_matmul},           {"aten::addmm", quantize_addmm},
      {"aten::lstm", quantize_lstm},           {"aten::gru", quantize_gru},
      {"aten::lstm_cell", quantize_cell},      {"aten::gru_cell", quantize_cell},
      {"aten::rnn_tanh_cell", quantize_cell},  {"aten::rnn_relu_cell", quantize_cell},
      {"aten::embedding", quantize_embedding}, {"aten::embedding_bag", quantize_embedding_bag},
  };
  return handlers;
}

}  // namespace qnative::migration
