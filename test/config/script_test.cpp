#include <gtest/gtest.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include <sstream>

#include "config_testing.h"
#include "qnative/backends.h"

// Configs inside ScriptModules, and files with damaged ones.
namespace qnative {
namespace {

using ConfigPtr = c10::intrusive_ptr<BackendConfig>;
using torch::jit::IValue;

torch::jit::Module with_config(const ConfigPtr& config) {
  torch::jit::Module module("Model");
  module.register_attribute("config", c10::getCustomClassType<ConfigPtr>(), IValue(config));
  return module;
}

torch::jit::Module saved_and_loaded(const torch::jit::Module& module) {
  std::stringstream file;
  module.save(file);
  return torch::jit::load(file);
}

ConfigPtr config_of(const torch::jit::Module& module) {
  return module.attr("config").toCustomClass<BackendConfig>();
}

TEST(Script, NativeConfigSurvivesSaving) {
  const auto native = get_native_backend_config();
  const auto loaded = config_of(saved_and_loaded(with_config(native)));
  EXPECT_EQ(*loaded, *native);
  loaded->find("torch.cat")->add_dtype_config(default_op_fp16_dtype_config());
  EXPECT_EQ(loaded->find("torch.nn.ELU")->dtype_configs().size(), 2U) << "the list is shared still";
  const auto first = loaded->find("torch.nn.Linear")->dtype_configs().get(0);
  EXPECT_EQ(first, loaded->find("torch.nn.functional.linear")->dtype_configs().get(0));
}

TEST(Script, EveryFieldAndTheStaleKeySurviveSaving) {
  auto config = c10::make_intrusive<BackendConfig>("full");
  auto full = full_pattern_config();
  auto constraints = c10::make_intrusive<DTypeWithConstraints>(at::kQUInt8);
  constraints->quant_min_lower_bound = 0;
  constraints->quant_max_upper_bound = 254.5;
  constraints->scale_min_lower_bound = 1e-6;
  constraints->scale_max_upper_bound = 1.0;
  constraints->scale_exact_match = 0.5;
  constraints->zero_point_exact_match = 7;
  full->add_dtype_config(
      c10::make_intrusive<DTypeConfig>(constraints, constraints, at::kQInt8, at::kFloat, false));
  config->set_backend_pattern_config(full);
  full->set_pattern("renamed");
  auto complex = c10::make_intrusive<BackendPatternConfig>();
  complex->set_pattern_complex_format(Pattern::tuple({"a", Pattern::tuple({"b", "c", "d", "e"})}));
  config->set_backend_pattern_config(complex);
  const auto loaded = config_of(saved_and_loaded(with_config(config)));
  EXPECT_EQ(*loaded, *config);
  EXPECT_EQ(loaded->configs()[0]->ops(), (BackendPatternConfig::Ops{"linear", "free"}));
  const auto dtypes = loaded->configs()[0]->dtype_configs().get(1);
  EXPECT_EQ(dtypes->input_dtype_with_constraints(), dtypes->output_dtype_with_constraints());
  EXPECT_TRUE(dtypes->input_dtype_with_constraints()->quant_min_lower_bound->isIntegral(false));
}

// Resolves the classes of qnative in source code, as torch.classes.qnative does in Python.
struct ClassResolver : torch::jit::Resolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name,
                                                         torch::jit::GraphFunction&,
                                                         const torch::jit::SourceRange&) override {
    const auto type = torch::getCustomClass("__torch__.torch.classes.qnative." + name);
    return type ? std::make_shared<torch::jit::ClassValue>(type) : nullptr;
  }
};

TEST(Script, ScriptBuildsAndChangesConfigs) {
  auto module = with_config(get_native_backend_config());
  module.define(R"(
def add_pattern(self) -> int:
    dtypes = DTypeConfig(13, 13, 12, 6, None)
    config = BackendPatternConfig(("torch.nn.Linear", "torch.nn.Tanh"))
    config.set_root_module("torch.nn.Linear").set_observation_type(1).add_dtype_config(dtypes)
    config.dtype_configs.append(dtypes)
    config.input_type_to_index["weight"] = 1
    self.config.set_backend_pattern_config(config).set_name("changed")
    return len(self.config.configs)
)",
                std::make_shared<ClassResolver>());
  EXPECT_EQ(module.run_method("add_pattern").toInt(), 195);
  const auto config = config_of(saved_and_loaded(module));
  EXPECT_EQ(config->name(), "changed");
  const auto added = config->find(Pattern::tuple({"torch.nn.Tanh", "torch.nn.Linear"}));
  ASSERT_TRUE(added);
  EXPECT_EQ(added->observation_type(), ObservationType::OUTPUT_SHARE_OBSERVER_WITH_INPUT);
  ASSERT_EQ(added->dtype_configs().size(), 2U);
  EXPECT_EQ(*added->dtype_configs().get(0), *weighted_op_quint8_dtype_config());
  EXPECT_EQ(added->dtype_configs().get(0), added->dtype_configs().get(1));
  EXPECT_EQ(added->input_type_to_index().at("weight"), 1);
}

// Saves and loads through the pickle functions of `T`, as TorchScript does.
template <typename T>
IValue state_of(const c10::intrusive_ptr<T>& object) {
  const auto type = c10::getCustomClassType<c10::intrusive_ptr<T>>();
  return type->getMethod("__getstate__")({IValue(object)});
}

template <typename T>
c10::intrusive_ptr<T> restore(const IValue& state) {
  const auto type = c10::getCustomClassType<c10::intrusive_ptr<T>>();
  auto object = c10::ivalue::Object::create(c10::StrongTypePtr(nullptr, type), 1);
  type->getMethod("__setstate__")({IValue(object), state});
  return IValue(object).toCustomClass<T>();
}

// A copy of nested tuples with the element at `path` replaced.
IValue replaced(const IValue& value, const std::vector<size_t>& path, const IValue& by,
                size_t depth = 0) {
  if (depth == path.size()) return by;
  std::vector<IValue> elements = value.toTupleRef().elements().vec();
  elements.at(path[depth]) = replaced(elements.at(path[depth]), path, by, depth + 1);
  return c10::ivalue::Tuple::create(std::move(elements));
}

TEST(State, OfEachClass) {
  const auto check = [](const auto& object) {
    using T = typename std::decay_t<decltype(object)>::element_type;
    EXPECT_EQ(*restore<T>(state_of(object)), *object);
  };
  check(c10::make_intrusive<DTypeWithConstraints>(at::kQInt8));
  check(default_dynamic_int8_dtype_config());
  check(full_pattern_config());
  check(get_test_only_legacy_native_backend_config());
}

TEST(State, OfVersion1HasNoOps) {
  auto config = full_pattern_config();
  std::vector<IValue> state = state_of(config).toTupleRef().elements().vec();
  std::vector<IValue> tables = state[2].toTupleRef().elements().vec();
  std::vector<IValue> row = tables[5].toTupleRef().elements()[0].toTupleRef().elements().vec();
  row.pop_back();
  const auto tuple = [](std::vector<IValue> v) { return c10::ivalue::Tuple::create(std::move(v)); };
  tables[5] = tuple({tuple(row)});
  const auto saved = [&](int64_t version) {
    return tuple({state[0], version, tuple(tables), state[3]});
  };
  const auto loaded = restore<BackendPatternConfig>(saved(1));
  EXPECT_EQ(*loaded, *config);
  EXPECT_TRUE(loaded->ops().empty());
  EXPECT_VALUE_ERROR(restore<BackendPatternConfig>(saved(2)), "should have 14 elements, got 13");
}

TEST(State, DamagedHeader) {
  const IValue state = state_of(get_native_backend_config());
  const auto tuple = [](std::vector<IValue> v) { return c10::ivalue::Tuple::create(std::move(v)); };
  EXPECT_VALUE_ERROR(restore<BackendConfig>(3), "the state should be a tuple, got Int");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(IValue()), "the state should be a tuple, got None");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(tuple({})), "should have 4 elements, got 0");
  EXPECT_VALUE_ERROR(restore<DTypeConfig>(state),
                     "qnative.DTypeConfig: damaged state: it is that of a BackendConfig");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(replaced(state, {1}, 3)),
                     "the state has format version 3, this library reads versions 1 to 2");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(replaced(state, {1}, 0)),
                     "the state has format version 0, this library reads versions 1 to 2");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(replaced(state, {1}, "1")),
                     "the format version should be an int, got String");
  EXPECT_VALUE_ERROR(restore<BackendConfig>(replaced(state, {2}, 1)), "tables should be a tuple");
}

TEST(State, DamagedTables) {
  auto config = c10::make_intrusive<BackendConfig>("full");
  config->set_backend_pattern_config(full_pattern_config());
  const IValue state = state_of(config);
  const auto rejects = [&](const std::vector<size_t>& path, const IValue& by, const char* text) {
    EXPECT_VALUE_ERROR(restore<BackendConfig>(replaced(state, path, by)), text);
  };
  // The first number of the path below {2, ...}: dtypes, dtype configs, lists, observation types,
  // input indices, pattern configs.
  rejects({2, 0, 0}, 1, "dtypes_with_constraints[0] should be a tuple, got Int");
  rejects({2, 0, 0, 0}, 99, "dtypes_with_constraints[0][0] should be a dtype, and no dtype has");
  rejects({2, 0, 0, 0}, -1, "no dtype has the number -1");
  rejects({2, 0, 0, 1}, "x", "dtypes_with_constraints[0][1] should be an int, a float or None");
  rejects({2, 0, 0, 5}, "x", "dtypes_with_constraints[0][5] should be an int, a float or None");
  rejects({2, 0, 0, 6}, 1.5, "dtypes_with_constraints[0][6] should be an int or None, got Double");
  rejects({2, 1, 0, 2}, 77, "dtype_configs[0][2] should be an index below 3, got 77");
  rejects({2, 1, 0, 2}, -1, "dtype_configs[0][2] should be an index below 3, got -1");
  rejects({2, 1, 0, 4}, 1, "dtype_configs[0][4] should be a bool or None, got Int");
  rejects({2, 2, 0, 0}, 1, "lists[0][0] should be an index below 1, got 1");
  rejects({2, 3, 0, 0, 1}, 5, "5 is not a valid ObservationType");
  rejects({2, 3, 0, 0, 0}, "x", "observation_types[0][0][0] should be an int, got String");
  rejects({2, 4, 0, 0, 0}, 1, "input_indices[0][0][0] should be a str, got Int");
  rejects({2, 4, 0, 0}, c10::ivalue::Tuple::create({1}), "should have 2 elements, got 1");
  rejects({2, 5, 0, 0}, 1, "pattern_configs[0][0] should be a str, a tuple or None, got Int");
  rejects({2, 5, 0, 0}, "", "the name of a pattern must not be empty");
  rejects({2, 5, 0, 3}, 1, "pattern_configs[0][3] should be a str or None, got Int");
  rejects({2, 5, 0, 13}, "x", "pattern_configs[0][13] should be a tuple, got String");
  rejects({2, 5, 0, 13, 0}, 1, "pattern_configs[0][13][0] should be a str, got Int");
  rejects({2, 5, 0, 12}, "x", "Only one of 'pattern' or 'pattern_complex_format' can be set");
  rejects({3, 0}, 1, "root[0] should be a str, got Int");
  rejects({3, 1, 0, 0}, IValue(), "root[1][0][0] should be a pattern, got None");
  rejects({3, 1, 0, 1}, 1, "root[1][0][1] should be an index below 1, got 1");
}

}  // namespace
}  // namespace qnative
