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
