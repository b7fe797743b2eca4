#include <gtest/gtest.h>

#include <limits>

#include "config_testing.h"
#include "qnative/backends.h"

// The findings of lint(), field by field, and none for correct rows.
namespace qnative {
namespace {

using ConstraintsPtr = c10::intrusive_ptr<DTypeWithConstraints>;

struct Wanted {
  std::string field;
  std::string problem;
};

void expect_findings(const BackendConfig& config, const std::vector<Wanted>& wanted) {
  const auto findings = config.lint();
  ASSERT_EQ(findings.size(), wanted.size()) << to_table(findings);
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(findings[i].field, wanted[i].field);
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, wanted[i].problem, findings[i].problem);
    EXPECT_FALSE(findings[i].remedy.empty());
  }
}

// A correct row.
PatternConfigPtr row(const Pattern& pattern) {
  auto config = c10::make_intrusive<BackendPatternConfig>(pattern);
  config->add_dtype_config(c10::make_intrusive<DTypeConfig>(at::kQUInt8, at::kQUInt8))
      .set_ops({"free"});
  return config;
}

BackendConfig backend(const std::vector<PatternConfigPtr>& rows) {
  BackendConfig config("mine");
  config.set_backend_pattern_configs(rows);
  return config;
}

// A row whose output has these constraints.
BackendConfig with_output(const ConstraintsPtr& constraints) {
  const auto config = row("relu");
  config->set_dtype_configs(BackendPatternConfig::DTypeConfigs());
  config->add_dtype_config(c10::make_intrusive<DTypeConfig>(at::kQUInt8, constraints));
  return backend({config});
}

const std::string kOutput = "dtype_configs[0].output_dtype_with_constraints.";

TEST(Lint, FindsNothingWhereNothingIsWrong) {
  EXPECT_TRUE(BackendConfig().lint().empty());
  const auto config = backend({row("torch.nn.ReLU"), row("relu")});
  EXPECT_TRUE(config.lint().empty());
  EXPECT_EQ(to_table(config.lint()), "");
}

TEST(Lint, RowsThatAreHalfBuilt) {
  const auto config = c10::make_intrusive<BackendPatternConfig>("relu");
  expect_findings(backend({config}), {{"dtype_configs", "it supports no dtypes"}});
  config->add_dtype_config(default_op_quint8_dtype_config());
  expect_findings(backend({config}), {{"ops", "it names no op"}});
  config->set_ops({"free", "free"});
  expect_findings(backend({config}), {{"ops", "2 names for 1 dtype_configs"}});
  config->set_ops({"mylib::nothing"});
  expect_findings(backend({config}), {{"ops", "there is no op mylib::nothing with a CPU kernel"}});
  config->set_ops({"free"});
  auto stale = backend({config});
  config->set_pattern(std::nullopt);
  expect_findings(stale, {{"pattern", "it has none"}});
  EXPECT_EQ(stale.lint()[0].pattern, "");
  config->set_pattern(Pattern::tuple({"a", "b", "c", "d"}));
  expect_findings(stale, {{"pattern", "a sequence has 2 or 3 elements, got 4"},
                          {"pattern", "its first part, a, has no row of its own"}});
}

TEST(Lint, PatternsThatStandThereTwice) {
  auto config = backend({row("a"), row("b")});
  config.configs()[1]->set_pattern("a");
  expect_findings(config, {{"pattern", "the row was set, which is kept under b"},
                           {"pattern", "row 0 has the same pattern and comes first"}});
  EXPECT_EQ(config.lint()[1].row, 1U);
}

TEST(Lint, DTypeConfigsBehindOneThatTakesAllTheyTake) {
  const auto config = row("relu");
  config->set_ops({"free"}).add_dtype_config(c10::make_intrusive<DTypeConfig>(
      at::kQUInt8, at::kQUInt8, std::nullopt, std::nullopt, false));
  expect_findings(backend({config}), {{"dtype_configs[1]", "dtype_configs[0] before it"}});
  config->set_dtype_configs(BackendPatternConfig::DTypeConfigs());
  auto narrow = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  narrow->quant_max_upper_bound = 127;
  config->add_dtype_config(c10::make_intrusive<DTypeConfig>(narrow, at::kQUInt8));
  config->add_dtype_config(default_op_quint8_dtype_config());
  EXPECT_TRUE(backend({config}).lint().empty()) << "the wider one comes last";
}

TEST(Lint, BoundsOfValues) {
  auto c = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  c->quant_min_lower_bound = -1;
  c->quant_max_upper_bound = 255;
  expect_findings(with_output(c),
                  {{kOutput + "quant_min_lower_bound", "-1 lies outside of QUInt8, [0, 255]"}});
  c->quant_min_lower_bound = 0;
  c->quant_max_upper_bound = std::numeric_limits<double>::quiet_NaN();
  expect_findings(with_output(c), {{kOutput + "quant_max_upper_bound", "nan lies outside"}});
  c->quant_min_lower_bound = 100;
  c->quant_max_upper_bound = 10;
  expect_findings(with_output(c), {{kOutput + "quant_min_lower_bound",
                                    "100 is greater than quant_max_upper_bound 10"}});
  c->dtype = at::kQUInt4x2;
  expect_findings(with_output(c),
                  {{kOutput + "quant_min_lower_bound", "100 lies outside of QUInt4x2, [0, 15]"},
                   {kOutput + "quant_min_lower_bound", "100 is greater"}});
  c->dtype = at::kHalf;
  expect_findings(with_output(c), {{kOutput + "dtype", "Half is not quantized"}});
  c->dtype = std::nullopt;
  expect_findings(with_output(c), {{kOutput + "dtype", "without a dtype are ignored"}});
}

TEST(Lint, BoundsOfScales) {
  auto c = c10::make_intrusive<DTypeWithConstraints>(at::kQInt8);
  c->scale_min_lower_bound = 0;
  c->scale_max_upper_bound = std::numeric_limits<double>::infinity();
  expect_findings(with_output(c),
                  {{kOutput + "scale_min_lower_bound", "a positive number, got 0"},
                   {kOutput + "scale_max_upper_bound", "a positive number, got inf"}});
  c->scale_min_lower_bound = 0.5;
  c->scale_max_upper_bound = 0.25;
  expect_findings(with_output(c), {{kOutput + "scale_min_lower_bound",
                                    "0.5 is greater than scale_max_upper_bound 0.25"}});
  c->scale_max_upper_bound = 1;
  EXPECT_TRUE(with_output(c).lint().empty());
}

TEST(Lint, FixedParameters) {
  auto c = c10::make_intrusive<DTypeWithConstraints>(at::kQInt8);
  c->scale_exact_match = -0.5;
  expect_findings(with_output(c),
                  {{kOutput + "scale_exact_match", "a positive number, got -0.5"},
                   {kOutput + "scale_exact_match", "no effect without zero_point_exact_match"}});
  c->scale_exact_match = 0.5;
  c->zero_point_exact_match = 128;
  c->scale_max_upper_bound = 0.25;
  expect_findings(
      with_output(c),
      {{kOutput + "scale_exact_match", "0.5 lies outside of the bounds of the scale"},
       {kOutput + "zero_point_exact_match", "128 lies outside of the values, [-128, 127]"}});
  c->scale_exact_match = std::nullopt;
  c->zero_point_exact_match = 0;
  expect_findings(with_output(c),
                  {{kOutput + "zero_point_exact_match", "no effect without scale_exact_match"}});
}

TEST(Lint, FixedParametersThatNothingCanHave) {
  const auto fixed = [](double scale) {
    auto c = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
    c->scale_exact_match = scale;
    c->zero_point_exact_match = 0;
    return c;
  };
  const auto config = row("relu");
  config->set_dtype_configs(BackendPatternConfig::DTypeConfigs());
  config->add_dtype_config(c10::make_intrusive<DTypeConfig>(fixed(0.5), fixed(0.25)));
  EXPECT_TRUE(backend({config}).lint().empty());
  config->set_observation_type(ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT);
  expect_findings(backend({config}), {{"observation_type", "share one observer"}});
  config->set_dtype_configs(BackendPatternConfig::DTypeConfigs());
  config->add_dtype_config(
      c10::make_intrusive<DTypeConfig>(fixed(0.5), at::kFloat, std::nullopt, std::nullopt, true));
  expect_findings(backend({config}),
                  {{"dtype_configs[0].input_dtype_with_constraints.scale_exact_match",
                    "a dynamic input has the scale of its values"}});
}

TEST(Lint, Indices) {
  const auto config = row("relu");
  BackendPatternConfig::InputTypeToIndex inputs;
  inputs.insert("weight", 1);
  inputs.insert("bias", 1);
  inputs.insert("input", -1);
  BackendPatternConfig::NumTensorArgsToObservationType types;
  types.insert(-2, 0);
  config->set_input_type_to_index(inputs).set_num_tensor_args_to_observation_type(types);
  expect_findings(backend({config}),
                  {{"input_type_to_index[bias]", "position 1 is that of another input"},
                   {"input_type_to_index[input]", "a position is 0 or more, got -1"},
                   {"num_tensor_args_to_observation_type[-2]", "no call has so many"}});
}

PatternConfigPtr weighted(const Pattern& pattern) {
  const auto config = c10::make_intrusive<BackendPatternConfig>(pattern);
  config->add_dtype_config(weighted_op_quint8_dtype_config()).set_ops({"free"});
  return config;
}

TEST(Lint, ModulesThatFxCannotConvert) {
  const auto config = weighted("a.Linear");
  expect_findings(backend({config}), {{"root_module", "FX finds it by root_module"}});
  config->set_root_module("a.Linear");
  expect_findings(backend({config}), {{"reference_quantized_module", "no reference module"}});
  config->set_reference_quantized_module("a.Reference");
  EXPECT_TRUE(backend({config}).lint().empty());
  config->set_root_module(std::nullopt);
  expect_findings(backend({config}), {{"root_module", "stands for no module"}});
  expect_findings(backend({weighted("a.linear")}),
                  {{"input_type_to_index", "FX finds it by position"}});
  EXPECT_TRUE(backend({weighted("linear")}).lint().empty()) << "the name of an op";
}

TEST(Lint, QatModulesInACycle) {
  const auto a = row("a.A");
  const auto b = row("a.B");
  a->set_qat_module("a.B");
  EXPECT_TRUE(backend({a, b}).lint().empty());
  b->set_qat_module("a.A");
  expect_findings(backend({a, b}), {{"qat_module", "lead back"}, {"qat_module", "lead back"}});
}

TEST(Lint, SequencesWithoutTheirParts) {
  const auto config = row(Pattern::tuple({"a.A", "a.B"}));
  expect_findings(backend({config}), {{"pattern", "its first part, a.A, has no row of its own"}});
  EXPECT_TRUE(backend({row("a.A"), config}).lint().empty());
  config->set_fused_module("a.AB");
  expect_findings(backend({row("a.A"), config}),
                  {{"fuser_method", "nothing makes the fused_module"},
                   {"fused_module", "no row has it as pattern"}});
  config->set_fuser_method("a.fuse");
  EXPECT_TRUE(backend({row("a.A"), config, row("a.AB")}).lint().empty());
  config->set_fused_module("a.A");
  expect_findings(backend({row("a.A"), config}), {{"fused_module", "a part of its own pattern"}});
  const auto single = row("a.A");
  single->set_fuser_method("a.fuse");
  expect_findings(backend({single}), {{"fuser_method", "there is nothing to fuse"}});
}

TEST(Lint, AnswersForWhatUpstreamAllows) {
  auto complex = c10::make_intrusive<BackendPatternConfig>();
  complex->set_pattern_complex_format(Pattern::tuple({"a", Pattern::tuple({"b", "c", "d", "e"})}));
  complex->add_dtype_config(default_op_quint8_dtype_config()).set_ops({"free"});
  EXPECT_TRUE(backend({complex}).lint().empty());
  auto odd = row("x");
  odd->set_qat_module("").set_fused_module("").set_root_module("");
  auto config = backend({odd});
  odd->set_pattern(Pattern::tuple({}));
  EXPECT_FALSE(config.lint().empty());
}

// Oddities of upstream that are kept: docs/backend_config.md explains each.
TEST(Lint, OfTheNativeConfig) {
  std::map<std::string, size_t> fields;
  for (const auto& finding : get_native_backend_config()->lint()) ++fields[finding.field];
  const std::map<std::string, size_t> wanted = {
      {"pattern", 2}, {"reference_quantized_module", 3}, {"root_module", 9}};
  EXPECT_EQ(fields, wanted);
}

TEST(Lint, PrintsATable) {
  const auto config = backend({weighted("a.Linear")});
  EXPECT_EQ(
      to_table(config.lint()),
      "row  pattern   field        problem                                                    "
      "            remedy\n"
      "0    a.Linear  root_module  the weight of the module is quantized, and FX finds it by "
      "root_module  set_root_module and set_reference_quantized_module\n");
}

}  // namespace
}  // namespace qnative
