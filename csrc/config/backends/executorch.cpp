#include "rows.h"

namespace qnative {
namespace {

using families::build;
using families::Configs;
using families::DTypeConfigs;
using families::kFree;
using families::kOwnObserver;
using families::kSharedObserver;
using families::list;

Configs binary(const DTypeConfigs& dtype_configs) {
  // Subtraction is addition of the negative.
  return families::arithmetic(dtype_configs, {{"add", "add"}, {"sub", "add"}, {"mul", "mul"}});
}

Configs share_qparams(const DTypeConfigs& dtype_configs) {
  // "": qnative has no kernel that pads.
  return build(
      {
          {"torch.nn.Flatten", kFree},
          {"torch.nn.functional.adaptive_avg_pool2d", "adaptive_avg_pool2d"},
          {"torch.nn.functional.elu", "lookup"},
          {"torch.nn.functional.hardtanh", "lookup"},
          {"torch.nn.functional.max_pool2d", "max_pool2d"},
          {"torch.nn.functional.pad", ""},
          {"torch.nn.functional.relu", "lookup"},
          {"torch.nn.functional.relu6", "lookup"},
          {"torch.nn.functional.leaky_relu", "lookup"},
          {"torch.nn.functional.leaky_relu_", "lookup"},
          {"torch.nn.AdaptiveAvgPool2d", "adaptive_avg_pool2d"},
          {"torch.nn.ConstantPad2d", ""},
          {"torch.nn.ELU", "lookup"},
          {"torch.nn.MaxPool2d", "max_pool2d"},
          {"torch.nn.ReLU6", "lookup"},
          {"torch.nn.Hardtanh", "lookup"},
          {"torch.nn.LeakyReLU", "lookup"},
          {"torch.clamp", "lookup"},
          {"torch.flatten", kFree},
          {"torch.mean", "mean"},
          {"torch.permute", kFree},
          {"torch.permute_copy", kFree},
          {"torch.squeeze", kFree},
          {"clamp", "lookup"},
          {"mean", "mean"},
          {"permute", kFree},
          {"reshape", kFree},
          {"relu", "lookup"},
          {"relu_", "lookup"},
          {"squeeze", kFree},
          {"squeeze_", kFree},
          {"leaky_relu", "lookup"},
      },
      kSharedObserver, dtype_configs);
}

Configs batch_norm(const DTypeConfigs& dtype_configs) {
  return build({{"torch.nn.BatchNorm2d", "batch_norm"}}, kOwnObserver, dtype_configs);
}

Configs cat(const DTypeConfigs& dtype_configs) {
  return build({{"torch.cat", "cat"}, {"torch.concat", "cat"}, {"torch.concatenate", "cat"}},
               kSharedObserver, dtype_configs);
}

}  // namespace

c10::intrusive_ptr<BackendConfig> get_executorch_backend_config() {
  const auto symmetric = dtype_config("qnnpack_weighted_op_qint8_symmetric_dtype_config");
  const auto symmetric_op = dtype_config("qnnpack_default_op_qint8_symmetric_dtype_config");
  const auto weighted = dtype_config("executorch_weighted_op_int8_dtype_config");
  const auto op = [&] {
    return list({symmetric_op, dtype_config("executorch_default_op_quint8_dtype_config")});
  };
  return families::backend(
      "executorch", {
                        {families::linear_alone,
                         list({symmetric, weighted,
                               dtype_config("executorch_default_dynamic_quint8_dtype_config"),
                               dtype_config("executorch_default_dynamic_qint8_dtype_config"),
                               dtype_config("executorch_default_dynamic_float16_dtype_config")})},
                        {families::conv2d, list({symmetric, weighted})},
                        {binary, list({symmetric_op, weighted})},
                        {share_qparams, op()},
                        {batch_norm, op()},
                        {cat, op()},
                        {families::embedding_with_function,
                         list({dtype_config("executorch_weight_only_quint8_dtype_config")})},
                    });
}

}  // namespace qnative
