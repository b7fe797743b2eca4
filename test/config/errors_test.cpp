#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <regex>
#include <set>

#include "config_testing.h"
#include "qnative/algebra.h"
#include "qnative/backends.h"
#include "qnative/registry.h"

// An error of each public function that can throw, according to the comments in the headers.
namespace qnative {
namespace {

using c10::make_intrusive;
using Types = BackendPatternConfig::NumTensorArgsToObservationType;

struct Case {
  const char* function;
  std::function<void()> call;
  const char* message;
};

AnyDict dict(const char* key, const c10::IValue& value) {
  auto dict = any_dict();
  dict.insert(key, value);
  return dict;
}

// {"configs": [good, row]}
AnyDict configs(const AnyDict& row) {
  c10::List<c10::IValue> rows(c10::AnyType::get());
  rows.push_back(dict("pattern", "relu"));
  rows.push_back(row);
  return dict("configs", rows);
}

PatternConfigPtr row(const char* root_module) {
  auto config = make_intrusive<BackendPatternConfig>("a");
  config->set_root_module(root_module);
  return config;
}

c10::intrusive_ptr<BackendConfig> of(PatternConfigPtr config) {
  auto backend = make_intrusive<BackendConfig>("mine");
  backend->set_backend_pattern_config(std::move(config));
  return backend;
}

Pattern nested(int levels) {
  Pattern pattern = "relu";
  for (int i = 0; i < levels; ++i) {
    pattern = Pattern::tuple({pattern});
  }
  return pattern;
}

Types types(int64_t type) {
  Types map;
  map.insert(1, type);
  return map;
}

BackendPatternConfig::DTypeConfigs with_null() {
  BackendPatternConfig::DTypeConfigs list;
  list.push_back(DTypePtr());
  return list;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> cases = {
      {"toString", [] { toString(ObservationType(3)); }, "3 is not a valid ObservationType"},
      {"observation_type_from_int", [] { observation_type_from_int(-1); }, "-1 is not a valid"},
      {"Pattern::Pattern", [] { Pattern(""); }, "the name of a pattern must not be empty"},
      {"Pattern::tuple", [] { nested(Pattern::kMaxDepth + 1); }, "nested more than 32 levels"},
      {"Pattern::from_ivalue", [] { Pattern::from_ivalue(3); }, "a str or a tuple of patterns"},
      {"Pattern::reversed", [] { Pattern::tuple({"a"}).reversed(); }, "a tuple with 2 or 3"},
      {"DTypeArg::DTypeArg", [] { DTypeArg{c10::intrusive_ptr<DTypeWithConstraints>()}; },
       "DTypeWithConstraints is nul"},
      {"DTypeConfig::from_dict", [] { DTypeConfig::from_dict(dict("input_dtype", "x")); },
       "Expected input_dtype to be a torch.dtype or DTypeWithConstraints"},
      {"BackendPatternConfig::set_pattern",
       [] { BackendPatternConfig().set_pattern_complex_format("a").set_pattern("b"); },
       "Only one of 'pattern' or 'pattern_complex_format' can be set"},
      {"BackendPatternConfig::set_observation_type",
       [] { BackendPatternConfig().set_observation_type(ObservationType(7)); }, "7 is not a valid"},
      {"BackendPatternConfig::add_dtype_config",
       [] { BackendPatternConfig().add_dtype_config(nullptr); }, "the DTypeConfig is null"},
      {"BackendPatternConfig::set_dtype_configs",
       [] { BackendPatternConfig().set_dtype_configs(with_null()); }, "DTypeConfig 0 is null"},
      {"BackendPatternConfig::set_num_tensor_args_to_observation_type",
       [] { BackendPatternConfig().set_num_tensor_args_to_observation_type(types(9)); },
       "9 is not a valid ObservationType"},
      {"BackendPatternConfig::set_pattern_complex_format",
       [] { BackendPatternConfig("a").set_pattern_complex_format("b"); },
       "Only one of 'pattern' or 'pattern_complex_format' can be set"},
      {"BackendPatternConfig::pattern_key", [] { BackendPatternConfig().pattern_key(); },
       "Either 'pattern' or 'pattern_complex_format' must be specified"},
      {"BackendPatternConfig::from_dict",
       [] { BackendPatternConfig::from_dict(dict("root_module", 3)); },
       "root_module should be a str or None, got Int"},
      {"BackendConfig::set_backend_pattern_config",
       [] { BackendConfig().set_backend_pattern_config(nullptr); },
       "the BackendPatternConfig is null"},
      {"BackendConfig::set_backend_pattern_configs",
       [] { BackendConfig().set_backend_pattern_configs({row("M"), nullptr}); },
       "configs[1]: qnative: set_backend_pattern_config: the BackendPatternConfig is null"},
      {"BackendConfig::set_entry", [] { BackendConfig().set_entry("a", nullptr); },
       "the BackendPatternConfig is null"},
      {"BackendConfig::from_dict",
       [] { BackendConfig::from_dict(configs(dict("observation_type", 9))); },
       "configs[1]: 9 is not a valid ObservationType"},
      {"BackendConfig::to_json",
       [] {
         auto config = row("M");
         const auto backend = of(config);
         config->set_pattern(std::nullopt);
         (void)backend->to_json();
       },
       "configs[0].pattern: wanted a pattern, got none"},
      {"BackendConfig::from_json", [] { BackendConfig::from_json("{}"); }, "version: wanted 1"},
      {"dtype_config", [] { dtype_config("x"); }, "no DTypeConfig is named 'x'. There are: "},
      {"dtype_with_constraints", [] { dtype_with_constraints("x"); },
       "no DTypeWithConstraints is named 'x'. There are: "},
      {"on_clash_from_string", [] { on_clash_from_string("x"); }, "should be 'error', 'first' or"},
      {"unite", [] { unite(*of(row("M")), *of(row("N"))); },
       "unite: row a: root_module is M in the first config and N in the second"},
      {"intersect", [] { intersect(*of(row("M")), *of(row("N"))); },
       "intersect: row a: root_module is M in the first config and N in the second"},
      {"register_backend", [] { register_backend("", get_native_backend_config); },
       "the name of a backend must not be empty"},
      {"unregister_backend", [] { unregister_backend("native"); }, "is qnative's own"},
      {"get_backend", [] { get_backend("x"); }, "no backend is named 'x'. There are: "},
  };
  return cases;
}

TEST(Errors, SayWhatIsWrong) {
  for (const auto& [function, call, message] : cases()) {
    try {
      call();
      ADD_FAILURE() << function << ": no error";
    } catch (const c10::Error& error) {
      EXPECT_PRED_FORMAT2(::testing::IsSubstring, message, error.what_without_backtrace())
          << function;
    }
  }
}

TEST(Errors, OfRowsInsideDicts) {
  c10::List<c10::IValue> dtypes(c10::AnyType::get());
  dtypes.push_back(dict("is_dynamic", 1));
  EXPECT_VALUE_ERROR(BackendConfig::from_dict(configs(dict("dtype_configs", dtypes))),
                     "configs[1]: dtype_configs[0]: is_dynamic should be a bool or None, got Int");
  EXPECT_VALUE_ERROR(BackendConfig::from_dict(configs(any_dict())),
                     "configs[1]: Either 'pattern' or 'pattern_complex_format' must be");
  EXPECT_VALUE_ERROR(
      BackendConfig::from_dict(configs(dict("pattern", c10::ivalue::Tuple::create({3})))),
      "configs[1]: pattern: a pattern is a str or a tuple of patterns, got Int");
}

// The functions that a header documents as throwing, members after the name of their class. A
// comment counts for all declarations up to the next comment or empty line.
std::set<std::string> throwing(const std::string& header) {
  static const std::regex scope(R"((class|struct) (?:QNATIVE_API )?(\w+)[^;]*\{)");
  static const std::regex function(R"((\w+)\()");
  std::ifstream file(QNATIVE_HEADERS "/" + header);
  EXPECT_TRUE(file) << header;
  std::set<std::string> functions;
  std::string line;
  std::string owner;
  std::string comment;
  bool in_comment = false;
  while (std::getline(file, line)) {
    std::smatch match;
    const size_t start = line.find_first_not_of(' ');
    if (start != std::string::npos && line.compare(start, 2, "//") == 0) {
      comment = (in_comment ? comment : "") + line;
      in_comment = true;
      continue;
    }
    in_comment = false;
    if (start == std::string::npos || line == "};") {
      comment.clear();
      owner = line == "};" ? "" : owner;
    } else if (std::regex_search(line, match, scope)) {
      owner = match[2].str() + "::";
      comment.clear();
    } else if (comment.find("hrow") != std::string::npos &&
               std::regex_search(line, match, function)) {
      functions.insert(owner + match[1].str());
    }
  }
  return functions;
}

TEST(Errors, OfEveryFunctionThatThrows) {
  std::set<std::string> documented;
  for (const char* header : {"config.h", "backends.h", "algebra.h", "registry.h"}) {
    documented.merge(throwing(header));
  }
  std::set<std::string> tested;
  for (const auto& one : cases()) EXPECT_TRUE(tested.insert(one.function).second) << one.function;
  EXPECT_EQ(tested, documented);
}

}  // namespace
}  // namespace qnative
