#include <gtest/gtest.h>

#include <limits>

#include "config_testing.h"
#include "qnative/backends.h"

namespace qnative {
namespace {

using Config = c10::intrusive_ptr<BackendConfig>;

Config again(const Config& config) { return BackendConfig::from_json(config->to_json()); }

std::string with(const std::string& old, const std::string& text) {
  const auto config = c10::make_intrusive<BackendConfig>("n");
  config->set_backend_pattern_config(full_pattern_config());
  config->find(full_pattern_config()->pattern_key())->set_ops({"linear"});
  std::string json = config->to_json();
  const size_t place = json.find(old);
  TORCH_CHECK(place != std::string::npos, "no ", old, " in ", json);
  return json.replace(place, old.size(), text);
}

TEST(Json, ThereAndBack) {
  for (const auto& config :
       {get_native_backend_config(), get_test_only_legacy_native_backend_config(),
        get_fbgemm_backend_config(), get_x86_backend_config(), get_qnnpack_backend_config(),
        get_onednn_backend_config(), get_executorch_backend_config(),
        get_tensorrt_backend_config()}) {
    const auto read = again(config);
    EXPECT_EQ(*read, *config) << config->name();
    EXPECT_EQ(read->to_json(), config->to_json());
    for (size_t i = 0; i < read->entries().size(); ++i) {
      EXPECT_EQ(read->entries()[i].second->ops(), config->entries()[i].second->ops());
    }
  }
}

TEST(Json, EscapesAndUtf8) {
  const std::string name = "\"\\\n\t\x01 \xC3\xA4 \xF0\x9F\x98\x80";
  const auto config = c10::make_intrusive<BackendConfig>(name);
  EXPECT_EQ(again(config)->name(), name);
  const auto read = BackendConfig::from_json(
      R"({"configs": [], "name": "\"\\\/\b\f\n\r\t\u00e4\u20ac\ud83d\ude00", "version": 1})");
  EXPECT_EQ(read->name(), "\"\\/\b\f\n\r\t\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
  for (const char* wrong : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_VALUE_ERROR(c10::make_intrusive<BackendConfig>(wrong)->to_json(),
                       "to_json: name: wanted UTF-8");
    EXPECT_VALUE_ERROR(
        BackendConfig::from_json(std::string(R"({"version": 1, "name": ")") + wrong + "\"}"),
        "from_json: line 1, column 25: wanted UTF-8, got byte");
  }
}

TEST(Json, BadTextsNameThePlace) {
  EXPECT_VALUE_ERROR(BackendConfig::from_json("{\n  \"version\" 1}"),
                     "from_json: line 2, column 13: wanted ':', got '1'");
  EXPECT_VALUE_ERROR(BackendConfig::from_json(std::string("{}\0", 3)),
                     "line 1, column 3: wanted the end of the text, got byte 0");
  EXPECT_VALUE_ERROR(BackendConfig::from_json(with("\"version\": 1", "\"version\": 2")),
                     "from_json: version: wanted 1, got 2");
}

TEST(Json, BadFieldsNameTheRow) {
  const auto error = [](const std::string& old, const std::string& text,
                        const std::string& message) {
    EXPECT_VALUE_ERROR(BackendConfig::from_json(with(old, text)),
                       "from_json: configs[0]." + message);
  };
  error("\"quint8\"", "\"foo\"",
        "dtype_configs[0].input_dtype.dtype: wanted the name of a dtype, such as 'quint8', got "
        "'foo'");
  error("root_module", "root", "root: there is no such field; there are pattern, ");
  error("\"a.B\", \"c.D\", \"relu\"", "\"a.B\"", "pattern: wanted an array of 2 or 3, got 1");
  error("\"weight\": 1", "\"weight\": 1.5",
        "input_type_to_index.weight: wanted an integer, got 1.5");
  error("[\"linear\"]", "[\"a\", \"b\"]", "ops: wanted one op, or one for each DTypeConfig, got 2");
  error("OUTPUT_USE", "output_use", "observation_type: wanted the name of an ObservationType");
}

TEST(Json, WhatCannotBeReadIsNotWritten) {
  auto config = c10::make_intrusive<BackendConfig>("n");
  auto row = c10::make_intrusive<BackendPatternConfig>("x");
  config->set_backend_pattern_config(row);
  row->set_pattern(std::nullopt);
  EXPECT_VALUE_ERROR(config->to_json(), "to_json: configs[0].pattern: wanted a pattern, got none");
  row->set_pattern("y");
  EXPECT_VALUE_ERROR(config->to_json(), "configs[0].pattern: wanted that under which the config");
  row->set_pattern("x");
  row->set_ops({"a", "b"});
  EXPECT_VALUE_ERROR(config->to_json(), "configs[0].ops: wanted one op, or one for each");
  row->set_ops({});
  auto dtype = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  dtype->scale_exact_match = std::numeric_limits<double>::quiet_NaN();
  row->add_dtype_config(c10::make_intrusive<DTypeConfig>(dtype));
  EXPECT_VALUE_ERROR(config->to_json(),
                     "configs[0].dtype_configs[0].input_dtype.scale_exact_match: wanted a finite");
}

}  // namespace
}  // namespace qnative
