#include "qnative/backends.h"

#include <gtest/gtest.h>

#include "config_testing.h"

namespace qnative {
namespace {

size_t entries(const BackendConfig& config) {
  size_t count = 0;
  for (const auto& pattern_config : config.configs()) {
    count += pattern_config->dtype_configs().size();
  }
  return count;
}

TEST(Backends, SizesAndNames) {
  const auto native = get_native_backend_config();
  EXPECT_EQ(native->name(), "native");
  EXPECT_EQ(native->configs().size(), 194U);
  EXPECT_EQ(entries(*native), 227U);
  const auto legacy = get_test_only_legacy_native_backend_config();
  EXPECT_EQ(legacy->name(), "_native_and_fp16");
  EXPECT_EQ(legacy->configs().size(), 194U);
  EXPECT_EQ(entries(*legacy), 328U);
}

TEST(Backends, QnativeBeginsWithNative) {
  const auto native = get_native_backend_config()->configs();
  const auto config = get_qnative_backend_config();
  const auto rows = config->configs();
  EXPECT_EQ(config->name(), "qnative");
  ASSERT_GT(rows.size(), native.size());
  for (size_t i = 0; i < native.size(); ++i) {
    if (*rows[i] == *native[i]) continue;
    // Convolutions have dynamic dtypes too.
    BackendPatternConfig row = *rows[i];
    const auto dtypes = row.dtype_configs();
    ASSERT_EQ(dtypes.size(), 2U) << i;
    EXPECT_EQ(dtypes[1]->is_dynamic, true) << i;
    ASSERT_EQ(row.ops().size(), 2U) << i;
    EXPECT_EQ(row.ops()[1], row.ops()[0] + "_dynamic") << i;
    row.set_dtype_configs({dtypes[0]}).set_ops({row.ops()[0]});
    EXPECT_EQ(row, *native[i]) << i;
  }
  EXPECT_EQ(config->find("torch.nn.SiLU")->ops(), (BackendPatternConfig::Ops{"lookup"}));
  EXPECT_FALSE(get_native_backend_config()->find("torch.nn.SiLU"));
}

TEST(Backends, SizesAndNamesOfTheSiblings) {
  const auto check = [](const auto& config, const char* name, size_t patterns, size_t pairs) {
    EXPECT_EQ(config->name(), name);
    EXPECT_EQ(config->configs().size(), patterns) << name;
    EXPECT_EQ(entries(*config), pairs) << name;
  };
  check(get_fbgemm_backend_config(), "fbgemm", 192, 225);
  check(get_x86_backend_config(), "x86", 192, 225);
  check(get_qnnpack_backend_config(), "qnnpack", 190, 404);
  check(get_onednn_backend_config(), "onednn", 221, 244);
  check(get_executorch_backend_config(), "executorch", 84, 172);
  check(get_tensorrt_backend_config(), "tensorrt", 149, 149);
}

TEST(Backends, NamedObjects) {
  EXPECT_EQ(dtype_config("weighted_op_quint8_dtype_config"), weighted_op_quint8_dtype_config());
  const auto symmetric = dtype_config("qnnpack_weighted_op_qint8_symmetric_dtype_config");
  EXPECT_EQ(get_qnnpack_backend_config()->find("torch.nn.Linear")->dtype_configs().get(0),
            symmetric);
  const auto activation = dtype_with_constraints("qnnpack_act_qint8_scale_min_2_neg_12");
  EXPECT_EQ(symmetric->input_dtype_with_constraints(), activation);
  EXPECT_EQ(symmetric->output_dtype_with_constraints(), activation);
  EXPECT_EQ(activation->scale_min_lower_bound->toDouble(), 1.0 / 4096);
  const auto weight =
      dtype_with_constraints("executorch_weight_qint8_neg_127_to_127_scale_min_2_neg_12");
  EXPECT_EQ(weight->quant_min_lower_bound->toLong(), -127);
  EXPECT_EQ(weight->quant_max_upper_bound->toLong(), 127);
  EXPECT_VALUE_ERROR(dtype_config("x"), "no DTypeConfig is named 'x'. There are: default_dynamic");
  EXPECT_VALUE_ERROR(dtype_with_constraints("x"), "no DTypeWithConstraints is named 'x'");
}

TEST(Backends, PatternsInTheNestedFormat) {
  const auto onednn = get_onednn_backend_config();
  const Pattern conv = Pattern::tuple({"torch.nn.BatchNorm2d", "torch.nn.Conv2d"});
  const Pattern any = "torch.ao.quantization.utils.MatchAllNode";
  const Pattern add = Pattern::tuple({"torch.add", any, conv});
  const auto config = onednn->find(Pattern::tuple({"torch.nn.ReLU", add}));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->pattern(), std::nullopt);
  const std::string module = "torch.ao.quantization.backend_config.onednn.";
  EXPECT_EQ(config->fuser_method(), module + "_fuse_conv_bn_add_relu_right");
  EXPECT_EQ(config->root_node_getter(), module + "_conv_bn_add_relu_root_node_getter_right");
  EXPECT_EQ(config->extra_inputs_getter(), module + "_conv_bn_add_relu_extra_inputs_getter_right");
}

TEST(Backends, WhatQnativeHasNoKernelFor) {
  const auto missing = [](const BackendConfig& config) {
    std::vector<std::string> patterns;
    for (const auto& row : config.validate()) patterns.push_back(row.config->pattern_key().str());
    return patterns;
  };
  using Patterns = std::vector<std::string>;
  const Patterns methods = {"hardsigmoid", "hardsigmoid_"};
  EXPECT_EQ(missing(*get_fbgemm_backend_config()), methods);
  EXPECT_EQ(missing(*get_x86_backend_config()), methods);
  EXPECT_EQ(missing(*get_tensorrt_backend_config()), Patterns{"torch.addmm"});
  EXPECT_EQ(missing(*get_executorch_backend_config()),
            (Patterns{"torch.nn.functional.pad", "torch.nn.functional.pad",
                      "torch.nn.ConstantPad2d", "torch.nn.ConstantPad2d"}));
  EXPECT_EQ(
      missing(*get_onednn_backend_config()),
      (Patterns{"hardsigmoid", "hardsigmoid_", "torch.nn.Embedding", "torch.ao.nn.qat.Embedding",
                "torch.nn.EmbeddingBag", "torch.ao.nn.qat.EmbeddingBag"}));
  const Patterns twice = {"hardsigmoid", "hardsigmoid", "hardsigmoid_", "hardsigmoid_"};
  EXPECT_EQ(missing(*get_qnnpack_backend_config()), twice);
}

TEST(Backends, DTypeConfigs) {
  const auto dtypes = [](const DTypeConfigPtr& config) {
    return std::make_tuple(config->input_dtype(), config->output_dtype(), config->weight_dtype(),
                           config->bias_dtype, config->is_dynamic);
  };
  using Row = decltype(dtypes(default_op_quint8_dtype_config()));
  const auto none = std::nullopt;
  EXPECT_EQ(dtypes(weighted_op_quint8_dtype_config()),
            Row(at::kQUInt8, at::kQUInt8, at::kQInt8, at::kFloat, none));
  EXPECT_EQ(dtypes(default_op_quint8_dtype_config()),
            Row(at::kQUInt8, at::kQUInt8, none, none, none));
  EXPECT_EQ(dtypes(default_op_fp16_dtype_config()),
            Row(at::kHalf, at::kHalf, at::kHalf, at::kHalf, none));
  EXPECT_EQ(dtypes(default_dynamic_int8_dtype_config()),
            Row(at::kQUInt8, at::kFloat, at::kQInt8, at::kFloat, true));
  EXPECT_EQ(dtypes(default_dynamic_float16_dtype_config()),
            Row(at::kHalf, at::kFloat, at::kHalf, at::kFloat, true));
  EXPECT_EQ(dtypes(input_output_only_quint8_dtype_config()),
            Row(at::kQUInt8, at::kQUInt8, at::kFloat, at::kFloat, none));
  EXPECT_EQ(dtypes(weight_only_quint8_dtype_config()),
            Row(at::kFloat, at::kFloat, at::kQUInt8, none, none));
  EXPECT_EQ(dtypes(weight_only_quint4x2_dtype_config()),
            Row(at::kFloat, at::kFloat, at::kQUInt4x2, none, none));
}

TEST(Backends, FixedQParams) {
  const auto config = get_native_backend_config();
  const auto check = [&](const char* pattern, double scale, int64_t zero_point) {
    const auto dtype_config = config->find(pattern)->dtype_configs().get(0);
    for (const auto& activation : {dtype_config->input_dtype_with_constraints(),
                                   dtype_config->output_dtype_with_constraints()}) {
      EXPECT_EQ(activation->dtype, at::kQUInt8);
      EXPECT_EQ(activation->quant_min_lower_bound->toLong(), 0);
      EXPECT_EQ(activation->quant_max_upper_bound->toLong(), 255);
      EXPECT_EQ(activation->scale_exact_match, scale);
      EXPECT_EQ(activation->zero_point_exact_match, zero_point);
    }
  };
  check("torch.nn.Softmax", 1.0 / 256, 0);
  check("tanh_", 1.0 / 128, 128);
  EXPECT_EQ(*config->find("torch.nn.ELU")->dtype_configs().get(0),
            *default_op_quint8_dtype_config());
}

TEST(Backends, FusedConvReluLacksWhatUpstreamOverwrites) {
  const auto config = get_native_backend_config();
  const auto conv_relu = config->find("torch.ao.nn.intrinsic.ConvReLU2d");
  EXPECT_EQ(conv_relu->qat_module(), "torch.ao.nn.intrinsic.qat.ConvReLU2d");
  EXPECT_EQ(conv_relu->root_module(), std::nullopt);
  EXPECT_EQ(config->entries()[5].first, "torch.ao.nn.intrinsic.ConvReLU1d");
}

TEST(Backends, FamiliesShareTheirListAndConfigsTheirDTypes) {
  const auto config = get_native_backend_config();
  EXPECT_EQ(config->find("torch.matmul")->dtype_configs().get(0), default_op_quint8_dtype_config());
  config->find("torch.cat")->add_dtype_config(default_op_fp16_dtype_config());
  EXPECT_EQ(config->find("torch.nn.ELU")->dtype_configs().size(), 2U);
  EXPECT_EQ(config->find("torch.nn.BatchNorm2d")->dtype_configs().size(), 2U);
  EXPECT_EQ(config->find("torch.matmul")->dtype_configs().size(), 1U);
  // Another call is not touched.
  EXPECT_EQ(entries(*get_native_backend_config()), 227U);
}

}  // namespace
}  // namespace qnative
