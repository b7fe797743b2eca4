#include "families.h"

#include <string>

namespace qnative::families {
namespace {

using ObservationTypes = BackendPatternConfig::NumTensorArgsToObservationType;

constexpr auto kOwnObserver = ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT;
constexpr auto kSharedObserver = ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT;
constexpr auto kNotObserved = ObservationType::INPUT_OUTPUT_NOT_OBSERVED;

constexpr const char* kRelu = "torch.nn.ReLU";
constexpr const char* kFunctionalRelu = "torch.nn.functional.relu";

const std::string kNN = "torch.nn.";
const std::string kFunctional = "torch.nn.functional.";
const std::string kIntrinsic = "torch.ao.nn.intrinsic.";
const std::string kIntrinsicQat = "torch.ao.nn.intrinsic.qat.";
const std::string kQat = "torch.ao.nn.qat.";
const std::string kReference = "torch.ao.nn.quantized.reference.";
const std::string kFusers = "torch.ao.quantization.fuser_method_mappings.";

struct Row {
  Pattern pattern;
  ObservationType observation_type = kOwnObserver;
  std::string root_module = {};
  std::string reference_quantized_module = {};
  std::string qat_module = {};
  std::string fused_module = {};
  std::string fuser_method = {};
  // Positions of weight and bias among the arguments of a function; 0: it has none.
  int64_t weight_index = 0;
  int64_t bias_index = 0;
};

BackendPatternConfig::Name name_of(const std::string& name) {
  return name.empty() ? std::nullopt : std::optional(name);
}

Configs build(const std::vector<Row>& rows, const DTypeConfigs& dtype_configs) {
  Configs configs;
  configs.reserve(rows.size());
  for (const auto& row : rows) {
    BackendPatternConfig::InputTypeToIndex inputs;
    if (row.weight_index != 0) {
      inputs.insert("weight", row.weight_index);
      inputs.insert("bias", row.bias_index);
    }
    auto config = c10::make_intrusive<BackendPatternConfig>(row.pattern);
    config->set_observation_type(row.observation_type)
        .set_dtype_configs(dtype_configs)
        .set_root_module(name_of(row.root_module))
        .set_reference_quantized_module(name_of(row.reference_quantized_module))
        .set_qat_module(name_of(row.qat_module))
        .set_fused_module(name_of(row.fused_module))
        .set_fuser_method(name_of(row.fuser_method))
        .set_input_type_to_index(inputs);
    configs.push_back(std::move(config));
  }
  return configs;
}

Configs build(const std::vector<const char*>& patterns, ObservationType observation_type,
              const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  rows.reserve(patterns.size());
  for (const char* pattern : patterns) {
    rows.push_back({.pattern = pattern, .observation_type = observation_type});
  }
  return build(rows, dtype_configs);
}

Pattern sequence(std::vector<Pattern> patterns) { return Pattern::tuple(std::move(patterns)); }

// The fuser that puts the modules of a pattern into `module`, a Sequential of two.
std::string sequential(const std::string& module) {
  return kFusers + "_sequential_wrapper2(" + module + ")";
}

std::vector<Row> conv_rows(const std::string& dim) {
  const std::string conv = kNN + "Conv" + dim;
  const std::string transpose = kNN + "ConvTranspose" + dim;
  const std::string bn = kNN + "BatchNorm" + dim;
  const std::string function = kFunctional + "conv" + dim;
  const std::string reference = kReference + "Conv" + dim;
  const std::string transpose_reference = kReference + "ConvTranspose" + dim;
  const std::string conv_relu = kIntrinsic + "ConvReLU" + dim;
  const std::string conv_bn = kIntrinsic + "ConvBn" + dim;
  const std::string conv_bn_relu = kIntrinsic + "ConvBnReLU" + dim;
  const std::string qat = kQat + "Conv" + dim;
  const std::string relu_qat = kIntrinsicQat + "ConvReLU" + dim;
  const std::string bn_qat = kIntrinsicQat + "ConvBn" + dim;
  const std::string bn_relu_qat = kIntrinsicQat + "ConvBnReLU" + dim;
  const auto weighted = [&](const std::string& module, const std::string& qat_module = "") {
    return Row{.pattern = module,
               .root_module = conv,
               .reference_quantized_module = reference,
               .qat_module = qat_module};
  };
  const auto fused = [](Pattern pattern, const std::string& module, const std::string& fuser) {
    return Row{.pattern = std::move(pattern), .fused_module = module, .fuser_method = fuser};
  };
  Row conv_bn_functional_relu =
      fused(sequence({conv, bn, kFunctionalRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu");
  conv_bn_functional_relu.root_module = conv;
  return {
      weighted(conv, qat),
      weighted(qat),
      {.pattern = function, .weight_index = 1, .bias_index = 2},
      fused(sequence({conv, kRelu}), conv_relu, sequential(conv_relu)),
      fused(sequence({conv, kFunctionalRelu}), conv_relu, sequential(conv_relu)),
      weighted(conv_relu, relu_qat),
      weighted(relu_qat),
      {.pattern = sequence({function, kRelu})},
      {.pattern = sequence({function, kFunctionalRelu})},
      // Upstream's second entries for the same two patterns; the first of them lacks root_module.
      {.pattern = conv_relu, .qat_module = relu_qat},
      weighted(relu_qat),
      fused(sequence({conv, bn}), conv_bn, kFusers + "fuse_conv_bn"),
      fused(sequence({conv, bn, kRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu"),
      conv_bn_functional_relu,
      {.pattern = conv_bn, .qat_module = bn_qat},
      {.pattern = conv_bn_relu, .qat_module = bn_relu_qat},
      weighted(bn_qat),
      weighted(bn_relu_qat),
      {.pattern = transpose,
       .root_module = transpose,
       .reference_quantized_module = transpose_reference},
      {.pattern = sequence({transpose, bn}),
       .root_module = transpose,
       .reference_quantized_module = transpose_reference,
       .fuser_method = kFusers + "fuse_convtranspose_bn"},
      {.pattern = kFunctional + "conv_transpose" + dim, .weight_index = 1, .bias_index = 2},
  };
}

// Copies with the fixed parameters on input and output wherever their dtype is quint8.
DTypeConfigs with_fixed_qparams(const DTypeConfigs& dtype_configs, double scale,
                                int64_t zero_point) {
  const auto fix = [&](const DTypeWithConstraints& original) {
    auto fixed = c10::make_intrusive<DTypeWithConstraints>(original);
    if (original.dtype != at::kQUInt8) {
      return fixed;
    }
    TORCH_CHECK_VALUE(!original.scale_min_lower_bound,
                      "scale_min_lower_bound is invalid for fixed qparams ops: ",
                      c10::IValue(*original.scale_min_lower_bound));
    TORCH_CHECK_VALUE(!original.scale_max_upper_bound,
                      "scale_max_upper_bound is invalid for fixed qparams ops: ",
                      c10::IValue(*original.scale_max_upper_bound));
    fixed->quant_min_lower_bound = 0;
    fixed->quant_max_upper_bound = 255;
    fixed->scale_exact_match = scale;
    fixed->zero_point_exact_match = zero_point;
    return fixed;
  };
  DTypeConfigs result;
  for (size_t i = 0; i < dtype_configs.size(); ++i) {
    const auto original = dtype_configs.get(i);
    result.push_back(c10::make_intrusive<DTypeConfig>(
        fix(*original->input_dtype_with_constraints()),
        fix(*original->output_dtype_with_constraints()),
        c10::make_intrusive<DTypeWithConstraints>(*original->weight_dtype_with_constraints()),
        original->bias_dtype, original->is_dynamic));
  }
  return result;
}

void append(Configs& configs, Configs more) {
  configs.insert(configs.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
}

}  // namespace

Configs conv(const DTypeConfigs& dtype_configs) {
  Configs configs;
  for (const char* dim : {"1d", "2d", "3d"}) {
    append(configs, build(conv_rows(dim), dtype_configs));
  }
  return configs;
}

Configs linear(const DTypeConfigs& dtype_configs) {
  const std::string module = kNN + "Linear";
  const std::string function = kFunctional + "linear";
  const std::string linear_relu = kIntrinsic + "LinearReLU";
  const std::string linear_bn = kIntrinsic + "LinearBn1d";
  const auto weighted = [&](const std::string& pattern, const std::string& qat_module = "") {
    return Row{.pattern = pattern,
               .root_module = module,
               .reference_quantized_module = kReference + "Linear",
               .qat_module = qat_module};
  };
  const auto with_relu = [&](const char* relu) {
    return Row{.pattern = sequence({module, relu}),
               .fused_module = linear_relu,
               .fuser_method = sequential(linear_relu)};
  };
  return build(
      {
          weighted(module, kQat + "Linear"),
          weighted(kQat + "Linear"),
          {.pattern = function, .weight_index = 1, .bias_index = 2},
          with_relu(kRelu),
          with_relu(kFunctionalRelu),
          weighted(linear_relu, kIntrinsicQat + "LinearReLU"),
          weighted(kIntrinsicQat + "LinearReLU"),
          {.pattern = sequence({function, kRelu})},
          {.pattern = sequence({function, kFunctionalRelu})},
          {.pattern = sequence({module, kNN + "BatchNorm1d"}),
           .fused_module = linear_bn,
           .fuser_method = kFusers + "fuse_linear_bn"},
          weighted(linear_bn, kIntrinsicQat + "LinearBn1d"),
          weighted(kIntrinsicQat + "LinearBn1d"),
      },
      dtype_configs);
}

Configs binary(const DTypeConfigs& dtype_configs) {
  // x + 2 needs no observer of its own.
  ObservationTypes by_tensor_args;
  by_tensor_args.insert(0, static_cast<int64_t>(kOwnObserver));
  by_tensor_args.insert(1, static_cast<int64_t>(kSharedObserver));
  by_tensor_args.insert(2, static_cast<int64_t>(kOwnObserver));
  std::vector<Row> rows;
  for (const char* op : {"operator.add", "torch.add", "operator.mul", "torch.mul"}) {
    for (const char* relu : {kRelu, kFunctionalRelu, "torch.relu"}) {
      rows.push_back({.pattern = sequence({op, relu})});
    }
    rows.push_back({.pattern = op});
  }
  Configs configs = build(rows, dtype_configs);
  for (const auto& config : configs) {
    config->set_num_tensor_args_to_observation_type(by_tensor_args);
  }
  append(configs, build({"torch.matmul"}, kOwnObserver, dtype_configs));
  return configs;
}

Configs cat(const DTypeConfigs& dtype_configs) {
  return build({"torch.cat"}, kSharedObserver, dtype_configs);
}

Configs default_ops(const DTypeConfigs& dtype_configs) {
  Configs configs =
      build({"torch.nn.ELU", "torch.nn.LeakyReLU", "torch.nn.Hardswish", "torch.nn.InstanceNorm1d",
             "torch.nn.InstanceNorm2d", "torch.nn.InstanceNorm3d", "torch.nn.Dropout",
             "torch.nn.PReLU", "torch.nn.functional.elu", "torch.nn.functional.hardswish",
             "torch.nn.functional.leaky_relu", "torch.nn.functional.dropout"},
            kOwnObserver, dtype_configs);
  append(configs,
         build({{.pattern = kFunctional + "group_norm", .weight_index = 2, .bias_index = 3},
                {.pattern = kFunctional + "instance_norm", .weight_index = 3, .bias_index = 4}},
               dtype_configs));
  return configs;
}

Configs fixed_qparams(const DTypeConfigs& dtype_configs) {
  struct Range {
    double scale;
    int64_t zero_point;
    std::vector<const char*> patterns;
  };
  const std::vector<Range> ranges = {
      {1.0 / 256,
       0,
       {"torch.nn.Hardsigmoid", "torch.nn.functional.hardsigmoid", "hardsigmoid", "hardsigmoid_",
        "torch.nn.Sigmoid", "torch.sigmoid", "sigmoid", "sigmoid_", "torch.nn.Softmax"}},
      {2.0 / 256, 128, {"torch.nn.Tanh", "torch.tanh", "tanh", "tanh_"}},
  };
  Configs configs;
  for (const auto& [scale, zero_point, patterns] : ranges) {
    for (const char* pattern : patterns) {
      append(configs,
             build({pattern}, kOwnObserver, with_fixed_qparams(dtype_configs, scale, zero_point)));
    }
  }
  return configs;
}

Configs share_qparams(const DTypeConfigs& dtype_configs) {
  return build(
      {
          "torch.nn.AdaptiveAvgPool1d",
          "torch.nn.AdaptiveAvgPool2d",
          "torch.nn.AdaptiveAvgPool3d",
          "torch.nn.AvgPool1d",
          "torch.nn.AvgPool2d",
          "torch.nn.AvgPool3d",
          "torch.nn.Hardtanh",
          "torch.nn.Identity",
          "torch.nn.MaxPool1d",
          "torch.nn.MaxPool2d",
          "torch.nn.MaxPool3d",
          "torch.nn.PixelShuffle",
          "torch.nn.PixelUnshuffle",
          "torch.nn.ReLU",
          "torch.nn.ReLU6",
          "torch.nn.functional.adaptive_avg_pool1d",
          "torch.nn.functional.adaptive_avg_pool2d",
          "torch.nn.functional.adaptive_avg_pool3d",
          "torch.nn.functional.hardtanh",
          "torch.nn.functional.hardtanh_",
          "torch.nn.functional.interpolate",
          "torch.nn.functional.max_pool1d",
          "torch.nn.functional.max_pool2d",
          "torch.nn.functional.max_pool3d",
          "torch.nn.functional.pixel_shuffle",
          "torch.nn.functional.pixel_unshuffle",
          "torch.nn.functional.relu",
          "torch.nn.functional.relu6",
          "torch.nn.functional.avg_pool1d",
          "torch.nn.functional.avg_pool2d",
          "torch.nn.functional.avg_pool3d",
          "torch.clamp",
          "torch.flatten",
          "torch.mean",
          "torch.narrow",
          "torch.repeat_interleave",
          "torch.transpose",
          "torch.squeeze",
          "torch.stack",
          "torch.unsqueeze",
          "operator.floordiv",
          "contiguous",
          "clamp",
          "detach",
          "detach_",
          "mean",
          "permute",
          "repeat",
          "repeat_interleave",
          "reshape",
          "resize_",
          "relu",
          "relu_",
          "squeeze",
          "squeeze_",
          "transpose",
          "unsqueeze",
          "unsqueeze_",
          "view",
      },
      kSharedObserver, dtype_configs);
}

Configs tensor_info(const DTypeConfigs& dtype_configs) {
  return build({"shape", "size"}, kNotObserved, dtype_configs);
}

Configs batch_norm(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const char* dim : {"2d", "3d"}) {
    const std::string bn = kNN + "BatchNorm" + dim;
    const std::string fused = kIntrinsic + "BNReLU" + dim;
    for (const char* relu : {kRelu, kFunctionalRelu}) {
      rows.push_back({.pattern = sequence({bn, relu}),
                      .fused_module = fused,
                      .fuser_method = sequential(fused)});
    }
    rows.push_back({.pattern = bn});
  }
  rows.push_back({.pattern = kIntrinsic + "BNReLU2d"});
  rows.push_back({.pattern = kIntrinsic + "BNReLU3d"});
  return build(rows, dtype_configs);
}

Configs layer_norm(const DTypeConfigs& dtype_configs) {
  return build({{.pattern = kNN + "LayerNorm"},
                {.pattern = kFunctional + "layer_norm", .weight_index = 2, .bias_index = 3}},
               dtype_configs);
}

Configs rnn(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const std::string module : {"GRUCell", "LSTMCell", "RNNCell", "LSTM", "GRU"}) {
    rows.push_back({.pattern = kNN + module,
                    .root_module = kNN + module,
                    .reference_quantized_module = kReference + module});
  }
  return build(rows, dtype_configs);
}

Configs embedding(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const std::string module : {"Embedding", "EmbeddingBag"}) {
    const Row weighted = {.pattern = kNN + module,
                          .root_module = kNN + module,
                          .reference_quantized_module = kReference + module};
    rows.push_back(weighted);
    rows.back().qat_module = kQat + module;
    rows.push_back(weighted);
    rows.back().pattern = kQat + module;
  }
  return build(rows, dtype_configs);
}

}  // namespace qnative::families
