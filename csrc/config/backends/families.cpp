#include "rows.h"

namespace qnative::families {
namespace {

using ObservationTypes = BackendPatternConfig::NumTensorArgsToObservationType;

// Copies with the fixed parameters on every quint8 input and output.
DTypeConfigs with_fixed_qparams(const DTypeConfigs& dtype_configs, double scale,
                                int64_t zero_point) {
  const auto fix = [&](const DTypeWithConstraints& original) {
    auto fixed = c10::make_intrusive<DTypeWithConstraints>(original);
    if (original.dtype != at::kQUInt8) return fixed;
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
    const auto& input = original->input_dtype_with_constraints();
    const auto& output = original->output_dtype_with_constraints();
    const auto fixed = fix(*input);
    result.push_back(c10::make_intrusive<DTypeConfig>(
        fixed, input == output ? fixed : fix(*output),
        c10::make_intrusive<DTypeWithConstraints>(*original->weight_dtype_with_constraints()),
        original->bias_dtype, original->is_dynamic));
  }
  return result;
}

}  // namespace

Configs arithmetic(const DTypeConfigs& dtype_configs, const std::vector<PatternAndOp>& functions) {
  // x + 2 needs no separate observer.
  ObservationTypes by_tensor_args;
  by_tensor_args.insert(0, static_cast<int64_t>(kOwnObserver));
  by_tensor_args.insert(1, static_cast<int64_t>(kSharedObserver));
  by_tensor_args.insert(2, static_cast<int64_t>(kOwnObserver));
  std::vector<Row> rows;
  for (const auto& [name, op] : functions) {
    for (const std::string package : {"operator.", "torch."}) {
      const std::string function = package + name;
      for (const char* relu : {kRelu, kFunctionalRelu, "torch.relu"}) {
        rows.push_back({.pattern = sequence({function, relu}), .op = op});
      }
      rows.push_back({.pattern = function, .op = op});
    }
  }
  Configs configs = build(rows, dtype_configs);
  for (const auto& config : configs) {
    config->set_num_tensor_args_to_observation_type(by_tensor_args);
  }
  return configs;
}

Configs binary(const DTypeConfigs& dtype_configs) {
  Configs configs = arithmetic(dtype_configs, {{"add", "add"}, {"mul", "mul"}});
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
                          .inputs = {{"weight", 2}, {"bias", 3}}},
                         {.pattern = kFunctional + "instance_norm",
                          .op = "instance_norm",
                          .inputs = {{"weight", 3}, {"bias", 4}}}},
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
                 .inputs = {{"weight", 2}, {"bias", 3}}}},
               dtype_configs);
}

}  // namespace qnative::families
