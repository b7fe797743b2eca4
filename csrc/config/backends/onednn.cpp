#include "rows.h"

namespace qnative {
namespace {

using families::append;
using families::Configs;
using families::DTypeConfigs;
using families::kFunctional;
using families::kIntrinsic;
using families::kNN;
using families::kReference;
using families::list;
using families::Row;
using families::sequence;

const std::string kOnednn = "torch.ao.quantization.backend_config.onednn.";

// conv2d + y or y + conv2d, with or without relu.
struct ConvAdd {
  bool conv_is_left;
  bool with_bn;
  const char* add;
  bool with_relu;
};

// The row of one such pattern, for example (relu, (add, conv, y)): only the reversed nested format
// has operators with two inputs.
c10::intrusive_ptr<BackendPatternConfig> conv_add(const ConvAdd& kind, const std::string& fused,
                                                  const DTypeConfigs& dtype_configs) {
  const Pattern conv =
      kind.with_bn ? sequence({kNN + "BatchNorm2d", kNN + "Conv2d"}) : Pattern(kNN + "Conv2d");
  const Pattern y = "torch.ao.quantization.utils.MatchAllNode";
  const Pattern add =
      kind.conv_is_left ? sequence({kind.add, conv, y}) : sequence({kind.add, y, conv});
  const std::string name =
      std::string("_conv") + (kind.with_bn ? "_bn" : "") + "_add" + (kind.with_relu ? "_relu" : "");
  const std::string side = kind.conv_is_left ? "_left" : "_right";
  auto config = c10::make_intrusive<BackendPatternConfig>();
  config->set_pattern_complex_format(kind.with_relu ? sequence({families::kRelu, add}) : add)
      .set_dtype_configs(dtype_configs)
      .set_fuser_method(kOnednn + "_fuse" + name + side)
      .set_root_node_getter(kOnednn + name + "_root_node_getter" + side)
      .set_extra_inputs_getter(kOnednn + name + "_extra_inputs_getter" + side)
      .set_fused_module(fused)
      .set_ops({"conv2d"});
  return config;
}

Configs conv(const DTypeConfigs& dtype_configs) {
  Configs configs = families::conv(dtype_configs);
  for (const bool with_relu : {false, true}) {
    const std::string fused = kIntrinsic + (with_relu ? "ConvAddReLU2d" : "ConvAdd2d");
    for (const bool conv_is_left : {true, false}) {
      for (const bool with_bn : {true, false}) {
        for (const char* add : {"torch.add", "operator.add"}) {
          configs.push_back(
              conv_add({conv_is_left, with_bn, add, with_relu}, fused, dtype_configs));
        }
      }
    }
    append(configs, families::build({{.pattern = fused,
                                      .op = "conv2d",
                                      .root_module = kNN + "Conv2d",
                                      .reference_quantized_module = kReference + "Conv2d"}},
                                    dtype_configs));
  }
  return configs;
}

// linear followed by an activation that no other backend fuses.
std::vector<Row> linear_then(const std::string& module, const std::string& function,
                             const std::string& fused) {
  const std::string linear = kNN + "Linear";
  const std::string functional = kFunctional + "linear";
  const auto fuse = [&](const std::string& activation) {
    return Row{.pattern = sequence({linear, activation}),
               .op = "linear",
               .fused_module = fused,
               .fuser_method = families::sequential(fused)};
  };
  return {
      fuse(module),
      fuse(function),
      {.pattern = fused,
       .op = "linear",
       .root_module = linear,
       .reference_quantized_module = kReference + "Linear"},
      {.pattern = sequence({functional, module}), .op = "linear"},
      {.pattern = sequence({functional, function}), .op = "linear"},
  };
}

Configs linear(const DTypeConfigs& dtype_configs) {
  const std::string leaky_relu = kIntrinsic + "LinearLeakyReLU";
  std::vector<Row> rows = linear_then(kNN + "LeakyReLU", kFunctional + "leaky_relu", leaky_relu);
  rows.push_back({.pattern = sequence({kNN + "Linear", kNN + "BatchNorm1d", kNN + "LeakyReLU"}),
                  .op = "linear",
                  .fused_module = leaky_relu,
                  .fuser_method = kOnednn + "_fuse_linear_bn_leaky_relu"});
  append(rows, linear_then(kNN + "Tanh", "torch.tanh", kIntrinsic + "LinearTanh"));
  Configs configs = families::linear(dtype_configs);
  append(configs, families::build(rows, dtype_configs));
  return configs;
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_onednn_backend_config() {
  const auto weighted = dtype_config("onednn_weighted_op_int8_dtype_config");
  const auto dynamic = dtype_config("onednn_dynamic_int8_dtype_config");
  const auto op = [] { return list({dtype_config("onednn_op_quint8_dtype_config")}); };
  const DTypeConfigs default_op = op();
  return families::backend(
      "onednn",
      {
          {conv, list({weighted})},
          {linear, list({weighted, dynamic})},
          {families::binary, op()},
          {families::cat, default_op},
          {families::default_ops, default_op},
          {families::fixed_qparams, op()},
          {families::share_qparams, op()},
          {families::batch_norm, default_op},
          {families::layer_norm,
           list({dtype_config("onednn_input_output_only_quint8_dtype_config")})},
          {families::rnn, list({dynamic})},
          {families::embedding, list({dtype_config("onednn_weight_only_qint8_dtype_config")})},
      });
}

}  // namespace qnative
