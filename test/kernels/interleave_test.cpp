#include "interleave/interleave.h"

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::interleave {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

TEST(Interleave, EveryLengthReadsAndWritesOnlyItsPixels) {
  Random random(1);
  for (int64_t n : test::lengths()) {
    for (const uint8_t flip : {0x00, 0x80}) {
      for (const int64_t gap : {0, 5}) {
        const int64_t plane_stride = n + gap;
        const auto x = random.full_range<uint8_t>(2 * plane_stride + n);
        std::vector<uint8_t> expected;
        for (int64_t i = 0; i < n; ++i) {
          for (const int64_t c : {0, 1, 2}) expected.push_back(x[c * plane_stride + i] ^ flip);
        }
        const PageGuarded<uint8_t> x_end(x, PageGuarded<uint8_t>::Side::kAfter);
        for (const auto& kernel : runnable(kernels())) {
          Guarded<uint8_t> y(3 * n, n % 7);
          kernel.run(x_end.data(), plane_stride, y.data(), n, flip);
          EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
          EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace qnative::interleave
