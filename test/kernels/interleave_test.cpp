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

TEST(Transpose, EverySizeReadsAndWritesOnlyItsBytes) {
  Random random(2);
  for (const int64_t planes : {0, 1, 2, 3, 4, 7, 15, 16, 17, 31, 32, 33, 40, 80}) {
    for (const int64_t n : {0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 47, 100}) {
      for (const int64_t gap : {0, 5}) {
        const int64_t plane_stride = n + gap, pixel_stride = planes + gap;
        const auto size = [&](int64_t rows, int64_t stride, int64_t columns) {
          return rows == 0 || columns == 0 ? 0 : (rows - 1) * stride + columns;
        };
        const auto x = random.full_range<uint8_t>(size(planes, plane_stride, n));
        const auto before = random.full_range<uint8_t>(size(n, pixel_stride, planes));
        std::vector<uint8_t> expected = before;
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t c = 0; c < planes; ++c) {
            expected[i * pixel_stride + c] = x[c * plane_stride + i];
          }
        }
        const PageGuarded<uint8_t> x_end(x, PageGuarded<uint8_t>::Side::kAfter);
        for (const auto& kernel : runnable(transpose_kernels())) {
          Guarded<uint8_t> y(static_cast<int64_t>(before.size()), n % 7);
          std::copy(before.begin(), before.end(), y.data());
          kernel.run({.x = x_end.data(), .planes = planes, .plane_stride = plane_stride, .n = n},
                     y.data(), pixel_stride);
          EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected))
              << name(kernel.isa) << ", " << planes << " planes, n " << n;
          EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", " << planes << " planes, n " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace qnative::interleave
