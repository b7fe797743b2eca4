// What the comparison must find.
#include <gtest/gtest-spi.h>

#include "fuzz/kernels.h"

namespace qnative::fuzz {
namespace {

using Fn = void(uint8_t* y, int64_t n);

void ones(uint8_t* y, int64_t n) { std::fill_n(y, n, 1); }
void wrong_tail(uint8_t* y, int64_t n) {
  ones(y, n);
  y[n - 1] = 2;
}
void short_tail(uint8_t* y, int64_t n) { ones(y, n - 1); }
void too_long(uint8_t* y, int64_t n) { ones(y, n + 1); }

template <Fn& kRun>
void compare() {
  static constexpr Kernel<Fn> kTable[] = {{Isa::kScalar, kRun}, {Isa::kScalar, ones}};
  expect_equal<uint8_t>(std::span<const Kernel<Fn>>(kTable), 10,
                        [](auto& run, uint8_t* y) { run(y, 10); });
}

TEST(FuzzItself, EqualOutputsPass) { compare<ones>(); }

TEST(FuzzItself, DifferencesAreFound) {
  EXPECT_FATAL_FAILURE(compare<wrong_tail>(), "element 9 of 10 is 2, scalar 1");
  EXPECT_FATAL_FAILURE(compare<short_tail>(), "element 9 of 10 is 205, scalar 1");
  EXPECT_FATAL_FAILURE(compare<too_long>(), "writes outside of y");
}

TEST(FuzzItself, SeedsRepeat) {
  Random a(5), b(5);
  EXPECT_EQ(length(a), length(b));
  EXPECT_EQ(floats(a, 3), floats(b, 3));
}

}  // namespace
}  // namespace qnative::fuzz
