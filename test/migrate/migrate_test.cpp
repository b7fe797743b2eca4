#include "qnative/migrate.h"

#include <gtest/gtest.h>
#include <torch/script.h>

#include <filesystem>
#include <fstream>

// The C++ API; what is moved and how is tested in Python, where models can be quantized.
namespace qnative {
namespace {

namespace fs = std::filesystem;

torch::jit::Module module_of(const std::string& code) {
  torch::jit::Module module("Model");
  module.define(code);
  return module;
}

// 13 is torch.quint8.
torch::jit::Module quantized() {
  return module_of(R"(
def forward(self, x):
    y = torch.quantize_per_tensor(x, 0.1, 3, 13)
    return torch.relu(y).dequantize()
)");
}

torch::jit::Module stuck() {
  return module_of(R"(
def forward(self, x, scale: float):
    return torch.quantize_per_tensor(x, scale, 3, 13).dequantize()
)");
}

fs::path folder() {
  const fs::path path = fs::temp_directory_path() / "qnative_migrate_test";
  fs::remove_all(path);
  fs::create_directory(path);
  return path;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST(Migrate, ModuleIsMovedAndCompared) {
  const auto x = torch::tensor({-1.0, 0.0, 0.5, 2.0}, torch::kFloat);
  auto module = quantized();
  auto result = migrate(module, {.inputs = std::vector<c10::IValue>{x}});
  EXPECT_TRUE(result.complete());
  ASSERT_TRUE(result.difference.has_value());
  EXPECT_EQ(result.difference->max, 0);
  EXPECT_EQ(result.difference->elements, 4);
  EXPECT_EQ(result.rows.at(0).kernel, "qnative::quantize_per_tensor");
  EXPECT_TRUE(result.module.forward({x}).toTensor().equal(module.forward({x}).toTensor()));
}

TEST(Migrate, FileToFile) {
  const fs::path path = folder();
  quantized().save((path / "old.pt").string());
  migrate((path / "old.pt").string(), (path / "new.pt").string());
  auto loaded = torch::jit::load((path / "new.pt").string());
  EXPECT_EQ(loaded.forward({torch::ones({2})}).toTensor().sizes(), at::IntArrayRef({2}));
  EXPECT_FALSE(fs::exists(path / "new.pt.part"));
}

TEST(Migrate, WhatCannotMoveIsAnErrorUnlessAskedFor) {
  const std::string error = error_of([] { migrate(stuck()); });
  EXPECT_NE(error.find("aten::quantize_per_tensor"), std::string::npos) << error;
  EXPECT_NE(error.find("argument scale is computed"), std::string::npos) << error;
  const auto result = migrate(stuck(), {.allow_partial = true});
  EXPECT_FALSE(result.complete());
  const fs::path path = folder();
  stuck().save((path / "old.pt").string());
  const std::string old_path = (path / "old.pt").string();
  const std::string file_error = error_of([&] { migrate(old_path, (path / "new.pt").string()); });
  EXPECT_NE(file_error.find(old_path), std::string::npos) << file_error;
  EXPECT_FALSE(fs::exists(path / "new.pt"));
}

TEST(Migrate, OnlyTwoDtypesAreDynamic) {
  const std::string error =
      error_of([] { migrate(quantized(), {.dynamic = true, .dynamic_dtype = at::kFloat}); });
  EXPECT_NE(error.find("dynamic_dtype must be Char or Half, got Float"), std::string::npos)
      << error;
}

TEST(Migrate, FilesThatAreNone) {
  const fs::path path = folder();
  std::ofstream(path / "text.pt") << "no archive";
  for (const char* name : {"text.pt", "missing.pt"}) {
    const std::string file = (path / name).string();
    const std::string error = error_of([&] { migrate(file, (path / "new.pt").string()); });
    EXPECT_NE(error.find(file), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace qnative
