#include <gtest/gtest.h>

#include <cstring>

#include "blocks.h"
#include "common.h"
#include "gemm/gemm.h"

// The layout of packed weights, and back.
namespace qnative::gemm {
namespace {

using test::Guarded;
using test::Random;

TEST(GemmPackTest, RoundTripLayoutAndSums) {
  for (int64_t n : {1, 5, 15, 16, 17, 40}) {
    for (int64_t segments : {1, 3}) {
      for (int64_t size : {0, 1, 3, 4, 5, 21}) {
        Random random(n * 100 + size);
        const std::vector<int8_t> weight = random.full_range<int8_t>(n * segments * size);
        const int64_t groups = ceil_div(size, 4), panels = ceil_div(n, kPanelColumns);
        ASSERT_EQ(panels_size(n, segments, size), panels * segments * groups * 64);
        ASSERT_EQ(packed_size(n, segments, size), panels_size(n, segments, size) + panels * 64);
        Guarded<int8_t> packed(packed_size(n, segments, size), 1);
        pack(weight.data(), n, segments, size, packed.data());
        EXPECT_TRUE(packed.intact());
        for (int64_t column = 0; column < panels * 16; ++column) {
          int32_t sum = 0;
          for (int64_t s = 0; s < segments; ++s) {
            for (int64_t k = 0; k < groups * 4; ++k) {
              const int expected =
                  column < n && k < size ? weight[(column * segments + s) * size + k] : 0;
              const int64_t at =
                  (((column / 16 * segments + s) * groups + k / 4) * 16 + column % 16) * 4 + k % 4;
              ASSERT_EQ(packed.data()[at], expected);
              sum += expected;
            }
          }
          int32_t stored;
          memcpy(&stored, packed.data() + panels_size(n, segments, size) + 4 * column, 4);
          EXPECT_EQ(stored, sum);
        }
        Guarded<int8_t> unpacked(weight.size());
        unpack(packed.data(), n, segments, size, unpacked.data());
        EXPECT_TRUE(test::same_bits<int8_t>(unpacked.values(), weight));
        EXPECT_TRUE(unpacked.intact());
      }
    }
  }
}

}  // namespace
}  // namespace qnative::gemm
