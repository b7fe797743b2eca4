#include "qnative/config.h"

#include <gtest/gtest.h>

#include "config_testing.h"

namespace qnative {
namespace {

using c10::make_intrusive;

DTypePtr int8() {
  return make_intrusive<DTypeConfig>(at::kQUInt8, at::kQUInt8, at::kQInt8, at::kFloat);
}

PatternConfigPtr linear_relu() {
  auto config = make_intrusive<BackendPatternConfig>(
      Pattern::tuple({"torch.nn.Linear", "torch.nn.functional.relu"}));
  config->add_dtype_config(int8())
      .set_fused_module("torch.ao.nn.intrinsic.LinearReLU")
      .set_fuser_method("my.fuse");
  return config;
}

TEST(Pattern, NamesAndTuples) {
  const Pattern nested = Pattern::tuple({"a.b", Pattern::tuple({"c", "d"})});
  EXPECT_EQ(nested.str(), "(a.b, (c, d))");
  EXPECT_TRUE(nested.is_tuple());
  EXPECT_EQ(nested.elements()[0].name(), "a.b");
  EXPECT_EQ(Pattern::from_ivalue(nested.to_ivalue()), nested);
  EXPECT_FALSE(nested == Pattern::tuple({"a.b", "c", "d"}));
}

TEST(Pattern, ReversesAsUpstream) {
  EXPECT_EQ(Pattern("size").reversed(), "size");
  EXPECT_EQ(Pattern::tuple({"a", "b"}).reversed().str(), "(b, a)");
  EXPECT_EQ(Pattern::tuple({"a", "b", "c"}).reversed().str(), "(c, (b, a))");
  for (const auto& wrong :
       {Pattern::tuple({}), Pattern::tuple({"a"}), Pattern::tuple({"a", "b", "c", "d"})}) {
    EXPECT_VALUE_ERROR(wrong.reversed(), "Expected a tuple with 2 or 3 elements, got: (");
  }
}

TEST(Pattern, OneFunctionHasOneName) {
  EXPECT_EQ(Pattern("torch.conv2d").name(), "torch.nn.functional.conv2d");
  EXPECT_EQ(Pattern("torch._C._nn.avg_pool2d").name(), "torch.nn.functional.avg_pool2d");
  EXPECT_FALSE(Pattern("torch.relu") == Pattern("torch.nn.functional.relu"));
}

TEST(Pattern, Rejects) {
  EXPECT_VALUE_ERROR(Pattern(""), "the name of a pattern must not be empty");
  EXPECT_VALUE_ERROR(Pattern::from_ivalue(3), "a pattern is a str or a tuple of patterns, got Int");
  c10::IValue deep = "relu";
  for (int i = 0; i < 100; ++i) {
    deep = c10::ivalue::Tuple::create({deep});
  }
  EXPECT_VALUE_ERROR(Pattern::from_ivalue(deep), "nested more than 32 levels");
}

TEST(DTypeConfig, WrapsDTypesAndSharesConstraints) {
  auto constraints = make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  constraints->quant_max_upper_bound = 127;
  DTypeConfig config(constraints, constraints, at::kQInt8, std::nullopt, true);
  EXPECT_EQ(config.input_dtype_with_constraints(), config.output_dtype_with_constraints());
  EXPECT_EQ(config.weight_dtype(), at::kQInt8);
  EXPECT_EQ(config.bias_dtype, std::nullopt);
  constraints->dtype = at::kHalf;
  EXPECT_EQ(config.output_dtype(), at::kHalf);
  EXPECT_THROW(DTypeArg(c10::intrusive_ptr<DTypeWithConstraints>()), c10::Error);
}

TEST(DTypeConfig, EqualByValue) {
  EXPECT_EQ(*int8(), *int8());
  DTypeConfig changed = *int8();
  changed.is_dynamic = false;
  EXPECT_FALSE(changed == *int8());
  DTypeWithConstraints a;
  DTypeWithConstraints b;
  a.quant_min_lower_bound = 0;
  EXPECT_FALSE(a == b);
  b.quant_min_lower_bound = 0.0;
  EXPECT_EQ(a, b);
  b.zero_point_exact_match = 3;
  EXPECT_FALSE(a == b);
}

TEST(DTypeConfig, DictKeysAndOmissions) {
  const auto dict = DTypeConfig(at::kQUInt8, {}, {}, at::kFloat, false).to_dict();
  EXPECT_EQ(keys(dict), (std::vector<std::string>{"input_dtype", "bias_dtype", "is_dynamic"}));
  EXPECT_TRUE(dict.at("input_dtype").isCustomClass());
  EXPECT_EQ(*DTypeConfig::from_dict(dict), DTypeConfig(at::kQUInt8, {}, {}, at::kFloat, false));
}

TEST(DTypeConfig, FromDictAcceptsDTypesAndRejectsTheRest) {
  auto dict = any_dict();
  dict.insert("input_dtype", at::kQUInt8);
  dict.insert("unknown", 3);
  EXPECT_EQ(*DTypeConfig::from_dict(dict), DTypeConfig(at::kQUInt8));
  dict.insert_or_assign("output_dtype", "quint8");
  EXPECT_VALUE_ERROR(DTypeConfig::from_dict(dict),
                     "Expected output_dtype to be a torch.dtype or DTypeWithConstraints");
  dict.insert_or_assign("output_dtype", 1000);
  EXPECT_VALUE_ERROR(DTypeConfig::from_dict(dict), "no dtype has the number 1000");
  dict.insert_or_assign("output_dtype", c10::IValue());
  dict.insert_or_assign("is_dynamic", 1);
  EXPECT_VALUE_ERROR(DTypeConfig::from_dict(dict), "is_dynamic should be a bool or None, got Int");
}

TEST(BackendPatternConfig, Defaults) {
  const BackendPatternConfig config;
  EXPECT_EQ(config.observation_type(), ObservationType::OUTPUT_USE_DIFFERENT_OBSERVER_AS_INPUT);
  EXPECT_TRUE(config.dtype_configs().empty());
  EXPECT_FALSE(config.pattern() || config.root_module() || config.fuser_method());
  EXPECT_VALUE_ERROR(config.pattern_key(),
                     "Either 'pattern' or 'pattern_complex_format' must be specified");
}

TEST(BackendPatternConfig, OnePatternOnly) {
  const char* message = "Only one of 'pattern' or 'pattern_complex_format' can be set";
  BackendPatternConfig config("a");
  EXPECT_VALUE_ERROR(config.set_pattern_complex_format("b"), message);
  config.set_pattern(std::nullopt).set_pattern_complex_format("b");
  EXPECT_VALUE_ERROR(config.set_pattern("a"), message);
  EXPECT_EQ(config.pattern_key(), "b");
}

TEST(BackendPatternConfig, SharesContainers) {
  BackendPatternConfig a("a");
  BackendPatternConfig b("b");
  b.set_dtype_configs(a.dtype_configs());
  a.add_dtype_config(int8());
  ASSERT_EQ(b.dtype_configs().size(), 1U);
  a.input_type_to_index().insert("weight", 1);
  EXPECT_EQ(a.input_type_to_index().at("weight"), 1);
  EXPECT_THROW(a.add_dtype_config(nullptr), c10::Error);
}

TEST(BackendPatternConfig, RejectsUnknownObservationTypes) {
  BackendPatternConfig config("a");
  EXPECT_VALUE_ERROR(observation_type_from_int(3), "3 is not a valid ObservationType");
  BackendPatternConfig::NumTensorArgsToObservationType map;
  map.insert(0, -1);
  EXPECT_VALUE_ERROR(config.set_num_tensor_args_to_observation_type(map),
                     "-1 is not a valid ObservationType");
  EXPECT_TRUE(config.num_tensor_args_to_observation_type().empty());
  EXPECT_STREQ(toString(ObservationType::INPUT_OUTPUT_NOT_OBSERVED), "INPUT_OUTPUT_NOT_OBSERVED");
}

TEST(BackendPatternConfig, DictRoundTrip) {
  auto config = full_pattern_config();
  const auto dict = config->to_dict();
  EXPECT_EQ(keys(dict), (std::vector<std::string>{
                            "observation_type", "dtype_configs", "pattern", "root_module",
                            "qat_module", "reference_quantized_module_for_root", "fused_module",
                            "fuser_method", "root_node_getter", "extra_inputs_getter",
                            "num_tensor_args_to_observation_type", "input_type_to_index"}));
  EXPECT_EQ(*BackendPatternConfig::from_dict(dict), *config);
  EXPECT_EQ(keys(BackendPatternConfig().to_dict()),
            (std::vector<std::string>{"observation_type", "dtype_configs"}));
}

TEST(BackendPatternConfig, EveryFieldCountsForEquality) {
  const auto full = full_pattern_config();
  EXPECT_EQ(*full, *full_pattern_config());
  for (const std::string& key : keys(full->to_dict())) {
    auto dict = full->to_dict();
    dict.insert_or_assign(key, c10::IValue());
    const bool is_default = key == "observation_type";
    EXPECT_EQ(*BackendPatternConfig::from_dict(dict) == *full, is_default) << key;
  }
}

TEST(BackendPatternConfig, FromDictRejects) {
  const auto rejects = [](const char* key, const c10::IValue& value, const char* message) {
    auto dict = full_pattern_config()->to_dict();
    dict.insert_or_assign(key, value);
    EXPECT_VALUE_ERROR(BackendPatternConfig::from_dict(dict), message);
  };
  rejects("pattern", 1, "pattern should be a str, a tuple or None, got Int");
  rejects("pattern_complex_format", "x", "Only one of 'pattern'");
  rejects("observation_type", "x", "observation_type should be an ObservationType, got String");
  rejects("dtype_configs", 1, "dtype_configs should be a list, got Int");
  rejects("dtype_configs", c10::List<int64_t>({1}),
          "Expected a list of DTypeConfigs in backend_pattern_config_dict[\"dtype_configs\"], got "
          "'Int'");
  rejects("root_module", 1, "root_module should be a str or None, got Int");
  rejects("input_type_to_index", 1, "input_type_to_index should be a dict, got Int");
  c10::Dict<int64_t, int64_t> ints;
  ints.insert(1, 9);
  rejects("input_type_to_index", ints, "should be a dict of str to int, got Int to Int");
  rejects("num_tensor_args_to_observation_type", ints, "9 is not a valid ObservationType");
}

TEST(BackendConfig, ReplacesInPlaceAndErases) {
  BackendConfig config("mine");
  config.set_backend_pattern_config(linear_relu());
  config.set_backend_pattern_config(make_intrusive<BackendPatternConfig>("torch.cat"));
  auto replacing = make_intrusive<BackendPatternConfig>();
  replacing->set_pattern_complex_format(
      Pattern::tuple({"torch.nn.functional.relu", "torch.nn.Linear"}));
  config.set_backend_pattern_config(replacing);
  ASSERT_EQ(config.configs().size(), 2U);
  EXPECT_EQ(config.configs()[0], replacing);
  EXPECT_TRUE(config.erase(replacing->pattern_key()));
  EXPECT_FALSE(config.erase(replacing->pattern_key()));
  EXPECT_EQ(config.find("torch.cat"), config.configs()[0]);
  EXPECT_FALSE(config.find("torch.add"));
}

TEST(BackendConfig, KeysAreThoseOfWhenItWasSet) {
  auto pattern_config = make_intrusive<BackendPatternConfig>("a");
  BackendConfig config;
  config.set_backend_pattern_config(pattern_config);
  pattern_config->set_pattern("b");
  EXPECT_EQ(config.find("a"), pattern_config);
  EXPECT_FALSE(config.find("b"));
}

TEST(BackendConfig, Rejects) {
  BackendConfig config;
  EXPECT_THROW(config.set_backend_pattern_config(nullptr), c10::Error);
  EXPECT_THROW(config.set_entry("a", nullptr), c10::Error);
  EXPECT_VALUE_ERROR(config.set_backend_pattern_config(make_intrusive<BackendPatternConfig>()),
                     "must be specified");
  EXPECT_VALUE_ERROR(config.set_backend_pattern_config(
                         make_intrusive<BackendPatternConfig>(Pattern::tuple({"a"}))),
                     "Expected a tuple with 2 or 3 elements, got: (a)");
  auto dict = any_dict();
  dict.insert("configs", c10::List<int64_t>({1}));
  EXPECT_VALUE_ERROR(BackendConfig::from_dict(dict),
                     "Expected backend_config_dict['configs'] to be a dictionary");
  EXPECT_TRUE(config.configs().empty());
}

TEST(BackendConfig, DictRoundTrip) {
  BackendConfig config("mine");
  config.set_backend_pattern_configs({linear_relu(), full_pattern_config()});
  EXPECT_EQ(*BackendConfig::from_dict(config.to_dict()), config);
  EXPECT_EQ(*BackendConfig::from_dict(any_dict()), BackendConfig());
}

}  // namespace
}  // namespace qnative
