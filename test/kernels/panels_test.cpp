#include "panels/panels.h"

#include "blocks.h"
#include "kernels/common.h"

namespace qnative::panels {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;

// How the bytes of a matrix lie in memory.
struct Strides {
  int64_t k, n;
};
std::vector<Strides> strides_of(int64_t k, int64_t n) {
  return {{n, 1}, {1, k}, {n + 3, 1}, {1, k + 5}, {2 * n, 2}, {0, 1}, {1, 0}};
}

void expect_panels(int64_t k, int64_t n, const Strides& strides, uint8_t flip) {
  Random random(static_cast<uint64_t>(k * 131 + n));
  const int64_t bytes = k == 0 || n == 0 ? 0 : (k - 1) * strides.k + (n - 1) * strides.n + 1;
  const auto values = random.full_range<uint8_t>(bytes);
  const PageGuarded<uint8_t> memory(values, PageGuarded<uint8_t>::Side::kAfter);
  const Matrix matrix = {memory.data(), k, n, strides.k, strides.n, flip};
  const int64_t groups = ceil_div(k, 4), panels = ceil_div(n, kPanelColumns), begin = panels / 3;
  for (const auto& kernel : runnable(kernels())) {
    Guarded<int8_t> packed((panels - begin) * groups * 64, 1);
    Guarded<int32_t> sums((panels - begin) * 16, 1);
    kernel.run(matrix, begin, panels, packed.data(), sums.data());
    for (int64_t column = begin * 16; column < panels * 16; ++column) {
      int32_t sum = 0;
      for (int64_t i = 0; i < groups * 4; ++i) {
        const bool is_inside = column < n && i < k;
        const auto expected =
            static_cast<int8_t>(is_inside ? values[i * strides.k + column * strides.n] ^ flip : 0);
        const int64_t at =
            (((column / 16 - begin) * groups + i / 4) * 16 + column % 16) * 4 + i % 4;
        ASSERT_EQ(packed.data()[at], expected) << name(kernel.isa) << " k " << i << " of " << k
                                               << ", column " << column << " of " << n;
        sum += expected;
      }
      ASSERT_EQ(sums.data()[column - begin * 16], sum) << name(kernel.isa);
    }
    EXPECT_TRUE(packed.intact() && sums.intact()) << name(kernel.isa);
  }
}

TEST(PanelsTest, LayoutAndSumsForEveryShapeAndStride) {
  for (int64_t k : {0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 64, 65, 130}) {
    for (int64_t n : {1, 5, 15, 16, 17, 32, 40, 64, 65}) {
      for (const Strides& strides : strides_of(k, n)) {
        for (uint8_t flip : {0, 0x80}) {
          expect_panels(k, n, strides, flip);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Sums beyond int16.
TEST(PanelsTest, LongSumsAreExact) {
  for (const Strides& strides : {Strides{16, 1}, Strides{1, 5000}}) {
    const std::vector<uint8_t> values(16 * 5000, 0x80);
    for (const auto& kernel : runnable(kernels())) {
      Guarded<int8_t> packed(16 * 5000);
      Guarded<int32_t> sums(16);
      kernel.run({values.data(), 5000, 16, strides.k, strides.n, 0}, 0, 1, packed.data(),
                 sums.data());
      for (const int32_t sum : sums.values()) EXPECT_EQ(sum, -128 * 5000) << name(kernel.isa);
    }
  }
}

}  // namespace
}  // namespace qnative::panels
