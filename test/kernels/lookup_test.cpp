#include "lookup/lookup.h"

#include <numeric>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::lookup {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

TEST(Lookup, EveryValueOfEveryTable) {
  Random random(1);
  std::vector<uint8_t> x(256 + 64);
  std::iota(x.begin(), x.end(), uint8_t{0});
  for (int trial = 0; trial < 20; ++trial) {
    const auto table = random.full_range<uint8_t>(256);
    const PageGuarded<uint8_t> table_end(table, PageGuarded<uint8_t>::Side::kAfter);
    std::vector<uint8_t> expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) expected[i] = table[x[i]];
    for (const auto& kernel : runnable(kernels())) {
      Guarded<uint8_t> y(x.size(), trial);
      kernel.run(x.data(), y.data(), y.size(), table_end.data());
      ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa);
    }
  }
}

TEST(Lookup, EveryLengthAndAlignmentReadsAndWritesOnlyItsElements) {
  Random random(2);
  const auto table = random.full_range<uint8_t>(256);
  for (int64_t n : test::lengths()) {
    const auto x = random.full_range<uint8_t>(n);
    std::vector<uint8_t> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = table[x[i]];
    const PageGuarded<uint8_t> x_end(x, PageGuarded<uint8_t>::Side::kAfter);
    for (const auto& kernel : runnable(kernels())) {
      Guarded<uint8_t> y(n, n % 7);
      kernel.run(x_end.data(), y.data(), n, table.data());
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      auto in_place = x;
      kernel.run(in_place.data(), in_place.data(), n, table.data());
      EXPECT_TRUE(same_bits<uint8_t>(in_place, expected)) << name(kernel.isa) << ", n " << n;
    }
  }
}

}  // namespace
}  // namespace qnative::lookup
