#include "families.h"

#include <algorithm>
#include <string>

namespace qnative::families {
namespace {

using ObservationTypes = BackendPatternConfig::NumTensorArgsToObservationType;

constexpr auto kOwnObserver = ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT;
constexpr auto kSharedObserver = ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT;
constexpr auto kNotObserved = ObservationType::INPUT_OUTPUT_NOT_OBSERVED;

constexpr const char* kFree = "free";
constexpr const char* kRelu = "torch.nn.ReLU";
constexpr const char* kFunctionalRelu = "torch.nn.functional.relu";

const std::string kNN = "torch.nn.";
const std::string kFunctional = "torch.nn.functional.";
const std::string kIntrinsic = "torch.ao.nn.intrinsic.";
const std::string kIntrinsicQat = "torch.ao.nn.intrinsic.qat.";
const std::string kQat = "torch.ao.nn.qat.";
const std::string kReference = "torch.ao.nn.quantized.reference.";
const std::string kFusers = "torch.ao.quantization.fuser_method_mappings.";

// The name of the op that runs `op` with the dtypes of one DTypeConfig.
using Naming = std::string (*)(const std::string& op, const DTypeConfig& dtypes);

// "linear", "linear_dynamic", "linear_dynamic_fp16", "linear_fp16"; "embedding_8bit",
// "embedding_4bit". All else that is float16 runs in torch's own kernels.
std::string with_dtypes(const std::string& op, const DTypeConfig& dtypes) {
  if (op == kFree) {
    return op;
  }
  if (dtypes.weight_dtype() == at::kQUInt4x2) {
    return op + "_4bit";
  }
  if (dtypes.weight_dtype() == at::kQUInt8 && dtypes.input_dtype() == at::kFloat) {
    return op + "_8bit";
  }
  const bool dynamic = dtypes.is_dynamic.value_or(false);
  if (!dynamic && dtypes.input_dtype() == at::kHalf && op != "linear") {
    return "aten";
  }
  return op + (dynamic ? "_dynamic" : "") + (dtypes.input_dtype() == at::kHalf ? "_fp16" : "");
}

struct Row {
  Pattern pattern;
  std::string op;
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

// One name for each DTypeConfig, or one for all of them.
BackendPatternConfig::Ops ops_of(const std::string& op, const DTypeConfigs& dtype_configs,
                                 Naming naming) {
  BackendPatternConfig::Ops ops;
  for (size_t i = 0; i < dtype_configs.size(); ++i) {
    ops.push_back(naming(op, *dtype_configs.get(i)));
  }
  const bool same = std::all_of(ops.begin(), ops.end(), [&](const auto& o) { return o == ops[0]; });
  return same && !ops.empty() ? BackendPatternConfig::Ops{ops[0]} : ops;
}

Configs build(const std::vector<Row>& rows, const DTypeConfigs& dtype_configs,
              Naming naming = with_dtypes) {
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
        .set_input_type_to_index(inputs)
        .set_ops(ops_of(row.op, dtype_configs, naming));
    configs.push_back(std::move(config));
  }
  return configs;
}

struct PatternAndOp {
  const char* pattern;
  const char* op;
};

Configs build(const std::vector<PatternAndOp>& patterns, ObservationType observation_type,
              const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  rows.reserve(patterns.size());
  for (const auto& [pattern, op] : patterns) {
    rows.push_back({.pattern = pattern, .op = op, .observation_type = observation_type});
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
  const std::string op = "conv" + dim;
  const std::string transpose_op = "conv_transpose" + dim;
  const auto weighted = [&](const std::string& module, const std::string& qat_module = "") {
    return Row{.pattern = module,
               .op = op,
               .root_module = conv,
               .reference_quantized_module = reference,
               .qat_module = qat_module};
  };
  const auto fused = [&](Pattern pattern, const std::string& module, const std::string& fuser) {
    return Row{
        .pattern = std::move(pattern), .op = op, .fused_module = module, .fuser_method = fuser};
  };
  Row conv_bn_functional_relu =
      fused(sequence({conv, bn, kFunctionalRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu");
  conv_bn_functional_relu.root_module = conv;
  return {
      weighted(conv, qat),
      weighted(qat),
      {.pattern = function, .op = op, .weight_index = 1, .bias_index = 2},
      fused(sequence({conv, kRelu}), conv_relu, sequential(conv_relu)),
      fused(sequence({conv, kFunctionalRelu}), conv_relu, sequential(conv_relu)),
      weighted(conv_relu, relu_qat),
      weighted(relu_qat),
      {.pattern = sequence({function, kRelu}), .op = op},
      {.pattern = sequence({function, kFunctionalRelu}), .op = op},
      // Upstream's second entries for the same two patterns; the first of them lacks root_module.
      {.pattern = conv_relu, .op = op, .qat_module = relu_qat},
      weighted(relu_qat),
      fused(sequence({conv, bn}), conv_bn, kFusers + "fuse_conv_bn"),
      fused(sequence({conv, bn, kRelu}), conv_bn_relu, kFusers + "fuse_conv_bn_relu"),
      conv_bn_functional_relu,
      {.pattern = conv_bn, .op = op, .qat_module = bn_qat},
      {.pattern = conv_bn_relu, .op = op, .qat_module = bn_relu_qat},
      weighted(bn_qat),
      weighted(bn_relu_qat),
      {.pattern = transpose,
       .op = transpose_op,
       .root_module = transpose,
       .reference_quantized_module = transpose_reference},
      {.pattern = sequence({transpose, bn}),
       .op = transpose_op,
       .root_module = transpose,
       .reference_quantized_module = transpose_reference,
       .fuser_method = kFusers + "fuse_convtranspose_bn"},
      {.pattern = kFunctional + "conv_transpose" + dim,
       .op = transpose_op,
       .weight_index = 1,
       .bias_index = 2},
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
  const std::string op = "linear";
  const auto weighted = [&](const std::string& pattern, const std::string& qat_module = "") {
    return Row{.pattern = pattern,
               .op = op,
               .root_module = module,
               .reference_quantized_module = kReference + "Linear",
               .qat_module = qat_module};
  };
  const auto with_relu = [&](const char* relu) {
    return Row{.pattern = sequence({module, relu}),
               .op = op,
               .fused_module = linear_relu,
               .fuser_method = sequential(linear_relu)};
  };
  return build(
      {
          weighted(module, kQat + "Linear"),
          weighted(kQat + "Linear"),
          {.pattern = function, .op = op, .weight_index = 1, .bias_index = 2},
          with_relu(kRelu),
          with_relu(kFunctionalRelu),
          weighted(linear_relu, kIntrinsicQat + "LinearReLU"),
          weighted(kIntrinsicQat + "LinearReLU"),
          {.pattern = sequence({function, kRelu}), .op = op},
          {.pattern = sequence({function, kFunctionalRelu}), .op = op},
          {.pattern = sequence({module, kNN + "BatchNorm1d"}),
           .op = op,
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
  for (const char* op : {"add", "mul"}) {
    for (const std::string function : {"operator.", "torch."}) {
      for (const char* relu : {kRelu, kFunctionalRelu, "torch.relu"}) {
        rows.push_back({.pattern = sequence({function + op, relu}), .op = op});
      }
      rows.push_back({.pattern = function + op, .op = op});
    }
  }
  Configs configs = build(rows, dtype_configs);
  for (const auto& config : configs) {
    config->set_num_tensor_args_to_observation_type(by_tensor_args);
  }
  append(configs, build({{"torch.matmul", "matmul"}}, kOwnObserver, dtype_configs));
  return configs;
}

Configs cat(const DTypeConfigs& dtype_configs) {
  return build({{"torch.cat", "cat"}}, kSharedObserver, dtype_configs);
}

Configs default_ops(const DTypeConfigs& dtype_configs) {
  Configs configs = build({{"torch.nn.ELU", "lookup"},
                           {"torch.nn.LeakyReLU", "lookup"},
                           {"torch.nn.Hardswish", "lookup"},
                           {"torch.nn.InstanceNorm1d", "instance_norm"},
                           {"torch.nn.InstanceNorm2d", "instance_norm"},
                           {"torch.nn.InstanceNorm3d", "instance_norm"},
                           {"torch.nn.Dropout", kFree},
                           {"torch.nn.PReLU", "prelu"},
                           {"torch.nn.functional.elu", "lookup"},
                           {"torch.nn.functional.hardswish", "lookup"},
                           {"torch.nn.functional.leaky_relu", "lookup"},
                           {"torch.nn.functional.dropout", kFree}},
                          kOwnObserver, dtype_configs);
  append(configs, build({{.pattern = kFunctional + "group_norm",
                          .op = "group_norm",
                          .weight_index = 2,
                          .bias_index = 3},
                         {.pattern = kFunctional + "instance_norm",
                          .op = "instance_norm",
                          .weight_index = 3,
                          .bias_index = 4}},
                        dtype_configs));
  return configs;
}

Configs fixed_qparams(const DTypeConfigs& dtype_configs) {
  struct Range {
    double scale;
    int64_t zero_point;
    std::vector<PatternAndOp> patterns;
  };
  const std::vector<Range> ranges = {
      {1.0 / 256,
       0,
       {{"torch.nn.Hardsigmoid", "lookup"},
        {"torch.nn.functional.hardsigmoid", "lookup"},
        {"hardsigmoid", "lookup"},
        {"hardsigmoid_", "lookup"},
        {"torch.nn.Sigmoid", "lookup"},
        {"torch.sigmoid", "lookup"},
        {"sigmoid", "lookup"},
        {"sigmoid_", "lookup"},
        {"torch.nn.Softmax", "softmax"}}},
      {2.0 / 256,
       128,
       {{"torch.nn.Tanh", "lookup"},
        {"torch.tanh", "lookup"},
        {"tanh", "lookup"},
        {"tanh_", "lookup"}}},
  };
  Configs configs;
  for (const auto& [scale, zero_point, patterns] : ranges) {
    for (const auto& pattern : patterns) {
      append(configs,
             build({pattern}, kOwnObserver, with_fixed_qparams(dtype_configs, scale, zero_point)));
    }
  }
  return configs;
}

Configs share_qparams(const DTypeConfigs& dtype_configs) {
  return build(
      {
          {"torch.nn.AdaptiveAvgPool1d", "adaptive_avg_pool1d"},
          {"torch.nn.AdaptiveAvgPool2d", "adaptive_avg_pool2d"},
          {"torch.nn.AdaptiveAvgPool3d", "adaptive_avg_pool3d"},
          {"torch.nn.AvgPool1d", "avg_pool1d"},
          {"torch.nn.AvgPool2d", "avg_pool2d"},
          {"torch.nn.AvgPool3d", "avg_pool3d"},
          {"torch.nn.Hardtanh", "lookup"},
          {"torch.nn.Identity", kFree},
          {"torch.nn.MaxPool1d", "max_pool1d"},
          {"torch.nn.MaxPool2d", "max_pool2d"},
          {"torch.nn.MaxPool3d", "max_pool3d"},
          {"torch.nn.PixelShuffle", kFree},
          {"torch.nn.PixelUnshuffle", kFree},
          {"torch.nn.ReLU", "lookup"},
          {"torch.nn.ReLU6", "lookup"},
          {"torch.nn.functional.adaptive_avg_pool1d", "adaptive_avg_pool1d"},
          {"torch.nn.functional.adaptive_avg_pool2d", "adaptive_avg_pool2d"},
          {"torch.nn.functional.adaptive_avg_pool3d", "adaptive_avg_pool3d"},
          {"torch.nn.functional.hardtanh", "lookup"},
          {"torch.nn.functional.hardtanh_", "lookup"},
          {"torch.nn.functional.interpolate", "interpolate"},
          {"torch.nn.functional.max_pool1d", "max_pool1d"},
          {"torch.nn.functional.max_pool2d", "max_pool2d"},
          {"torch.nn.functional.max_pool3d", "max_pool3d"},
          {"torch.nn.functional.pixel_shuffle", kFree},
          {"torch.nn.functional.pixel_unshuffle", kFree},
          {"torch.nn.functional.relu", "lookup"},
          {"torch.nn.functional.relu6", "lookup"},
          {"torch.nn.functional.avg_pool1d", "avg_pool1d"},
          {"torch.nn.functional.avg_pool2d", "avg_pool2d"},
          {"torch.nn.functional.avg_pool3d", "avg_pool3d"},
          {"torch.clamp", "lookup"},
          {"torch.flatten", kFree},
          {"torch.mean", "mean"},
          {"torch.narrow", kFree},
          {"torch.repeat_interleave", kFree},
          {"torch.transpose", kFree},
          {"torch.squeeze", kFree},
          {"torch.stack", "cat"},
          {"torch.unsqueeze", kFree},
          {"operator.floordiv", "lookup"},
          {"contiguous", kFree},
          {"clamp", "lookup"},
          {"detach", kFree},
          {"detach_", kFree},
          {"mean", "mean"},
          {"permute", kFree},
          {"repeat", kFree},
          {"repeat_interleave", kFree},
          {"reshape", kFree},
          {"resize_", kFree},
          {"relu", "lookup"},
          {"relu_", "lookup"},
          {"squeeze", kFree},
          {"squeeze_", kFree},
          {"transpose", kFree},
          {"unsqueeze", kFree},
          {"unsqueeze_", kFree},
          {"view", kFree},
      },
      kSharedObserver, dtype_configs);
}

Configs tensor_info(const DTypeConfigs& dtype_configs) {
  return build({{"shape", kFree}, {"size", kFree}}, kNotObserved, dtype_configs);
}

Configs batch_norm(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const char* dim : {"2d", "3d"}) {
    const std::string bn = kNN + "BatchNorm" + dim;
    const std::string fused = kIntrinsic + "BNReLU" + dim;
    for (const char* relu : {kRelu, kFunctionalRelu}) {
      rows.push_back({.pattern = sequence({bn, relu}),
                      .op = "batch_norm",
                      .fused_module = fused,
                      .fuser_method = sequential(fused)});
    }
    rows.push_back({.pattern = bn, .op = "batch_norm"});
  }
  rows.push_back({.pattern = kIntrinsic + "BNReLU2d", .op = "batch_norm"});
  rows.push_back({.pattern = kIntrinsic + "BNReLU3d", .op = "batch_norm"});
  return build(rows, dtype_configs);
}

Configs layer_norm(const DTypeConfigs& dtype_configs) {
  return build({{.pattern = kNN + "LayerNorm", .op = "layer_norm"},
                {.pattern = kFunctional + "layer_norm",
                 .op = "layer_norm",
                 .weight_index = 2,
                 .bias_index = 3}},
               dtype_configs);
}

Configs rnn(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const auto& [module, op] :
       std::vector<std::pair<std::string, std::string>>{{"GRUCell", "gru_cell"},
                                                        {"LSTMCell", "lstm_cell"},
                                                        {"RNNCell", "rnn_tanh_cell"},
                                                        {"LSTM", "lstm"},
                                                        {"GRU", "gru"}}) {
    rows.push_back({.pattern = kNN + module,
                    .op = op,
                    .root_module = kNN + module,
                    .reference_quantized_module = kReference + module});
  }
  // The same ops, whatever the weights.
  return build(rows, dtype_configs, [](const std::string& op, const DTypeConfig&) { return op; });
}

Configs embedding(const DTypeConfigs& dtype_configs) {
  std::vector<Row> rows;
  for (const auto& [module, op] : std::vector<std::pair<std::string, std::string>>{
           {"Embedding", "embedding"}, {"EmbeddingBag", "embedding_bag"}}) {
    const Row weighted = {.pattern = kNN + module,
                          .op = op,
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
