#include "qnative/registry.h"

#include <gtest/gtest.h>

#include <thread>

#include "config_testing.h"
#include "qnative/backends.h"

// Backends by name, also from libraries that are being loaded.
namespace qnative {
namespace {

c10::intrusive_ptr<BackendConfig> named(const char* name) {
  return c10::make_intrusive<BackendConfig>(name);
}

const BackendRegistrar registrar("of_this_program", [] { return named("of_this_program"); });
const BackendRegistrar first("twice", [] { return named("first"); });
const BackendRegistrar second("twice", [] { return named("second"); });
const BackendRegistrar nothing("nothing", nullptr);

TEST(Registry, KnowsItsOwnAndWhatARegistrarBrought) {
  EXPECT_EQ(*get_backend("native"), *get_native_backend_config());
  EXPECT_EQ(get_backend("_native_and_fp16")->name(), "_native_and_fp16");
  for (const char* name : {"fbgemm", "x86", "qnnpack", "onednn", "executorch", "tensorrt"}) {
    EXPECT_EQ(get_backend(name)->name(), name);
  }
  EXPECT_EQ(get_backend("of_this_program")->name(), "of_this_program");
}

TEST(Registry, SaysWhatWentWrongWhileALibraryWasLoaded) {
  EXPECT_VALUE_ERROR(get_backend("twice"), "while a library was loaded: a backend named 'twice'");
  EXPECT_VALUE_ERROR(get_backend("nothing"), "is empty");
}

TEST(Registry, RegistersAndForgets) {
  const auto config = named("other");
  register_backend("mine", [config] { return config; });
  EXPECT_EQ(get_backend("mine"), config);
  const auto names = backend_names();
  EXPECT_NE(std::find(names.begin(), names.end(), "mine"), names.end());
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::find(names.begin(), names.end(), "_native_and_fp16"), names.end());
  EXPECT_VALUE_ERROR(register_backend("mine", [config] { return config; }),
                     "a backend named 'mine' is registered already");
  EXPECT_TRUE(unregister_backend("mine"));
  EXPECT_FALSE(unregister_backend("mine"));
  EXPECT_VALUE_ERROR(get_backend("mine"), "no backend is named 'mine'. There are: ");
}

TEST(Registry, RejectsWhatCannotBeOne) {
  const auto build = [] { return named("x"); };
  EXPECT_VALUE_ERROR(register_backend("", build), "must not be empty");
  EXPECT_VALUE_ERROR(register_backend("x", nullptr), "is empty");
  EXPECT_VALUE_ERROR(register_backend("native", build), "registered already");
  EXPECT_VALUE_ERROR(unregister_backend("native"), "is qnative's own");
  register_backend("null", [] { return c10::intrusive_ptr<BackendConfig>(); });
  EXPECT_VALUE_ERROR(get_backend("null"), "gave null");
  unregister_backend("null");
}

TEST(Registry, IsUsedFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string name = "thread" + std::to_string(t);
      for (int i = 0; i < 50; ++i) {
        register_backend(name, [name] { return named(name.c_str()); });
        EXPECT_EQ(get_backend(name)->name(), name);
        backend_names();
        EXPECT_TRUE(unregister_backend(name));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace qnative
