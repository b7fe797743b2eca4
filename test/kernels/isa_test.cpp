#include "isa.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "common.h"

namespace qnative {
namespace {

// Sets QNATIVE_ISA for one scope.
class ScopedIsa {
 public:
  explicit ScopedIsa(const char* value) {
    if (const char* old = std::getenv("QNATIVE_ISA")) old_ = old;
    if (value == nullptr) {
      unsetenv("QNATIVE_ISA");
    } else {
      setenv("QNATIVE_ISA", value, 1);
    }
  }
  ~ScopedIsa() {
    if (old_.has_value()) {
      setenv("QNATIVE_ISA", old_->c_str(), 1);
    } else {
      unsetenv("QNATIVE_ISA");
    }
  }

 private:
  std::optional<std::string> old_;
};

TEST(Isa, NamesAreReadBack) {
  for (Isa isa : kIsas) EXPECT_EQ(isa_from_name(name(isa)), isa) << name(isa);
}

TEST(Isa, UnknownNamesAreNoIsa) {
  for (const char* text : {"", "AVX2", "avx2 ", "avx512", "scalar,avx2", "unknown"}) {
    EXPECT_FALSE(isa_from_name(text).has_value()) << text;
  }
}

TEST(Isa, ScalarRunsEverywhere) { EXPECT_TRUE(is_supported(Isa::kScalar)); }

TEST(Isa, CapIsTheEnvironmentVariable) {
  for (Isa isa : kIsas) {
    const ScopedIsa scoped(name(isa));
    EXPECT_EQ(isa_cap(), isa);
  }
}

TEST(Isa, WithoutVariableThereIsNoCap) {
  for (const char* value : {static_cast<const char*>(nullptr), ""}) {
    const ScopedIsa scoped(value);
    EXPECT_EQ(isa_cap(), kMaxIsa);
  }
}

TEST(Isa, UnknownVariableIsNoCap) {
  const ScopedIsa scoped("avx1024");
  EXPECT_FALSE(isa_cap().has_value());
}

int run_scalar() { return 0; }
int run_avx2() { return 1; }
int run_avx512() { return 2; }
using Fn = int();

TEST(Isa, BestIsTheFirstRowWithinTheCapThatTheMachineRuns) {
  const std::array<Kernel<Fn>, 3> rows = {
      {{Isa::kAvx512Vnni, run_avx512}, {Isa::kAvx2, run_avx2}, {Isa::kScalar, run_scalar}}};
  const std::span<const Kernel<Fn>> kernels(rows);
  EXPECT_EQ(best(kernels, Isa::kScalar).run(), 0);
  EXPECT_EQ(best(kernels, Isa::kAvx2).run(), is_supported(Isa::kAvx2) ? 1 : 0);
  EXPECT_EQ(best(kernels, Isa::kAmxInt8).run(), best(kernels, Isa::kAvx512Vnni).run());
  const Isa top = best(kernels, Isa::kAvx512Vnni).isa;
  EXPECT_EQ(top == Isa::kAvx512Vnni, is_supported(Isa::kAvx512Vnni));
  EXPECT_TRUE(is_supported(top));
}

TEST(Isa, FamilyWithoutAFasterRowFallsBackToScalar) {
  const std::array<Kernel<Fn>, 1> rows = {{{Isa::kScalar, run_scalar}}};
  EXPECT_EQ(best(std::span<const Kernel<Fn>>(rows), Isa::kAvx512Vnni).run(), 0);
}

TEST(Isa, RunnableRespectsTheCap) {
  const std::array<Kernel<Fn>, 2> rows = {{{Isa::kAvx2, run_avx2}, {Isa::kScalar, run_scalar}}};
  const ScopedIsa scoped("scalar");
  const auto runnable = test::runnable(std::span<const Kernel<Fn>>(rows));
  ASSERT_EQ(runnable.size(), 1U);
  EXPECT_EQ(runnable[0].isa, Isa::kScalar);
}

}  // namespace
}  // namespace qnative
