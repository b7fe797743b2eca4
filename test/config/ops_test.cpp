#include <gtest/gtest.h>

#include "config_testing.h"
#include "qnative/backends.h"

// The ops of the rows, and the rows that cannot run.
namespace qnative {
namespace {

using Ops = BackendPatternConfig::Ops;

std::vector<std::string> reasons(const BackendConfig& config) {
  std::vector<std::string> reasons;
  for (const auto& missing : config.validate()) reasons.push_back(missing.reason);
  return reasons;
}

TEST(Ops, OneForAllDTypeConfigsOrOneForEach) {
  BackendPatternConfig config("torch.cat");
  EXPECT_EQ(config.op(0), "");
  config.set_ops({"cat"});
  EXPECT_EQ(config.op(0), "cat");
  EXPECT_EQ(config.op(5), "cat");
  config.set_ops({"a", "b"});
  EXPECT_EQ(config.op(1), "b");
  EXPECT_EQ(config.op(2), "");
}

TEST(Ops, OfTheNativeConfigs) {
  const auto native = get_native_backend_config();
  const auto legacy = get_test_only_legacy_native_backend_config();
  EXPECT_EQ(native->find("torch.nn.Conv2d")->ops(), (Ops{"conv2d"}));
  EXPECT_EQ(native->find("torch.nn.Linear")->ops(),
            (Ops{"linear", "linear_dynamic", "linear_dynamic_fp16"}));
  EXPECT_EQ(legacy->find("torch.nn.Linear")->op(3), "linear_fp16");
  EXPECT_EQ(native->find("torch.nn.Embedding")->ops(), (Ops{"embedding_8bit", "embedding_4bit"}));
  EXPECT_EQ(legacy->find("reshape")->ops(), (Ops{"free"}));
  EXPECT_EQ(legacy->find("torch.add")->ops(), (Ops{"add", "add_fp16"}));
  EXPECT_EQ(legacy->find("torch.tanh")->ops(), (Ops{"lookup", "pointwise_fp16"}));
  EXPECT_EQ(legacy->find("torch.nn.MaxPool2d")->ops(), (Ops{"max_pool2d"}));
  EXPECT_EQ(legacy->find("torch.stack")->ops(), (Ops{"cat", "free"}));
  for (const auto& backend : {native, legacy}) {
    for (const auto& config : backend->configs()) {
      for (size_t i = 0; i < config->dtype_configs().size(); ++i) {
        EXPECT_NE(config->op(i), "") << config->pattern()->str();
      }
    }
  }
}

TEST(Ops, AreNeitherComparedNorInTheDictUnlessAsked) {
  const auto config = full_pattern_config();
  const auto other = full_pattern_config();
  other->set_ops({});
  EXPECT_EQ(*config, *other);
  EXPECT_FALSE(config->to_dict().contains("ops"));
  const auto dict = config->to_dict(/*with_ops=*/true);
  EXPECT_EQ(keys(dict).back(), "ops");
  EXPECT_EQ(BackendPatternConfig::from_dict(dict)->ops(), config->ops());
  EXPECT_TRUE(BackendPatternConfig::from_dict(config->to_dict())->ops().empty());
  EXPECT_FALSE(other->to_dict(/*with_ops=*/true).contains("ops"));
  auto wrong = config->to_dict();
  wrong.insert("ops", c10::List<int64_t>({1}));
  EXPECT_VALUE_ERROR(BackendPatternConfig::from_dict(wrong), "ops should be names of ops, got Int");
}

TEST(Validate, SaysWhatCannotRun) {
  BackendConfig config("mine");
  const auto add = [&](const char* pattern, Ops ops) {
    auto row = c10::make_intrusive<BackendPatternConfig>(pattern);
    row->add_dtype_config(default_op_quint8_dtype_config()).set_ops(std::move(ops));
    config.set_backend_pattern_config(row);
    return row;
  };
  add("reshape", {"free"});
  EXPECT_TRUE(config.validate().empty());
  const auto nameless = add("a.b", {});
  add("a.c", {"no_such_op"});
  add("hardsigmoid_", {"free"});
  EXPECT_EQ(reasons(config),
            (std::vector<std::string>{"it names no op",
                                      "there is no op qnative::no_such_op with a CPU kernel",
                                      "it cannot occur: torch.Tensor has no method hardsigmoid_"}));
  EXPECT_EQ(config.validate()[0].config, nameless);
  nameless->set_ops({"free"}).add_dtype_config(default_op_fp16_dtype_config());
  EXPECT_EQ(config.validate().size(), 2U);
  nameless->set_ops({"free", ""});
  ASSERT_EQ(config.validate().size(), 3U);
  EXPECT_EQ(config.validate()[0].dtype_config, 1U);
}

}  // namespace
}  // namespace qnative
