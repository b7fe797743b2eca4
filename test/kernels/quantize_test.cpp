#include "quantize/quantize.h"

#include <algorithm>
#include <cmath>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::quantize {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

const Requantize kCases[] = {{0, 0, 255, 0},      {128, 0, 255, 0x80},  {255, 0, 255, 0},
                             {128, 1, 255, 0x80}, {7, 7, 100, 0},       {200, 0, 127, 0},
                             {3, 64, 64, 0},      {131, 131, 200, 0x80}};
const float kInverseScales[] = {1.0f,    0.1f,  4.0f, 255.0f / 6, 1e-38f,   1e-42f,
                                3.4e38f, 1e10f, 0.0f, kInfinity,  1.0f / 3, -2.0f};

// Critical values: ties, ends of the range, values that do not fit in int32, infinities and NaN.
std::vector<float> values(Random& random, int64_t n) {
  const float special[] = {0.0f,      -0.0f,      0.5f,   -0.5f,  1.5f,    2.5f,
                           -1.5f,     127.5f,     -1e9f,  2.2e9f, 1e20f,   -1e20,
                           kInfinity, -kInfinity, kNan,   -kNan,  1e-40,   -1e-45f,
                           3e38f,     -3e38,      254.5f, 255.5f, -128.5f, 2147483648.0f};
  std::vector<float> x(n);
  for (float& v : x) {
    switch (random.uniform(0, 3)) {
      case 0:
        v = special[random.uniform<size_t>(0, std::size(special) - 1)];
        break;
      case 1:
        v = static_cast<float>(random.uniform(-600, 600)) / 2;
        break;
      default:
        v = random.uniform(-300.0f, 300.0f);
    }
  }
  return x;
}

uint8_t expected_quantize(float x, float inverse_scale, const Requantize& q) {
  const float r = static_cast<float>(static_cast<double>(x) * inverse_scale);
  const double y = std::isnan(r) ? q.zero_point : std::nearbyint(double{r}) + q.zero_point;
  return static_cast<uint8_t>(std::clamp<double>(y, q.lo, q.hi)) ^ q.flip;
}

float expected_dequantize(uint8_t x, float scale, int32_t zero_point, uint8_t flip) {
  return static_cast<float>(static_cast<double>((x ^ flip) - zero_point) * scale);
}

// {f(0), f(1), ... f(n - 1)}
template <class F>
auto generate(size_t n, const F& f) {
  std::vector<decltype(f(size_t{0}))> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = f(i);
  return values;
}

TEST(Quantize, EveryIsaGivesTheFormula) {
  Random random(1);
  for (const Requantize& q : kCases) {
    for (float inverse_scale : kInverseScales) {
      const auto x = values(random, 1003);
      const auto expected =
          generate(x.size(), [&](size_t i) { return expected_quantize(x[i], inverse_scale, q); });
      for (const auto& kernel : runnable(quantize_kernels())) {
        Guarded<uint8_t> y(x.size(), 3);
        kernel.run(x.data(), y.data(), y.size(), inverse_scale, q);
        ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected))
            << name(kernel.isa) << ", inverse scale " << inverse_scale << ", zero point "
            << q.zero_point;
      }
    }
  }
}

TEST(Quantize, RoundsHalfToEvenAtEveryTie) {
  std::vector<float> x;
  for (int i = -600; i <= 600; ++i) {
    const float tie = static_cast<float>(i) / 2;
    x.insert(x.end(), {std::nextafter(tie, -kInfinity), tie, std::nextafter(tie, kInfinity)});
  }
  for (const Requantize& q : kCases) {
    const auto expected =
        generate(x.size(), [&](size_t i) { return expected_quantize(x[i], 1.0f, q); });
    for (const auto& kernel : runnable(quantize_kernels())) {
      Guarded<uint8_t> y(x.size());
      kernel.run(x.data(), y.data(), y.size(), 1.0f, q);
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa);
    }
  }
}

TEST(Quantize, EveryLengthReadsAndWritesOnlyItsElements) {
  Random random(2);
  const Requantize q = kCases[1];
  for (int64_t n : test::lengths()) {
    const auto x = values(random, n);
    const auto expected =
        generate(x.size(), [&](size_t i) { return expected_quantize(x[i], 0.7f, q); });
    const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
    for (const auto& kernel : runnable(quantize_kernels())) {
      Guarded<uint8_t> y(n, n % 3);
      kernel.run(x_end.data(), y.data(), n, 0.7f, q);
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

TEST(QuantizeWords, EveryIsaAndLengthGivesTheFormula) {
  Random random(8);
  for (int64_t n : test::lengths()) {
    auto x = values(random, n);
    for (float& v : x) {
      if (random.uniform(0, 2) == 0) v = static_cast<float>(random.uniform(-140000, 140000)) / 2;
    }
    const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
    for (float inverse_scale : kInverseScales) {
      const Requantize q = {0, n % 2 ? -32768 : -32767, n % 3 ? 32767 : 100, 0};
      const auto expected = generate(n, [&](size_t i) {
        const float r = static_cast<float>(static_cast<double>(x[i]) * inverse_scale);
        const double y = std::isnan(r) ? 0 : std::nearbyint(double{r});
        return static_cast<int16_t>(std::clamp<double>(y, q.lo, q.hi));
      });
      for (const auto& kernel : runnable(quantize_words_kernels())) {
        Guarded<int16_t> y(n, n % 3);
        kernel.run(x_end.data(), y.data(), n, inverse_scale, q);
        EXPECT_TRUE(same_bits<int16_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      }
    }
  }
}

TEST(DequantizeWords, EveryIsaAndLengthGivesTheFormula) {
  Random random(9);
  for (int64_t n : test::lengths()) {
    const auto x = random.full_range<int16_t>(n);
    const PageGuarded<int16_t> x_end(x, PageGuarded<int16_t>::Side::kAfter);
    for (float scale : {1.0f, 0.02f, 1e-40f, 3e38f}) {
      const auto expected =
          generate(n, [&](size_t i) { return static_cast<float>(double{scale} * x[i]); });
      for (const auto& kernel : runnable(dequantize_words_kernels())) {
        Guarded<float> y(n, n % 3);
        kernel.run(x_end.data(), y.data(), n, scale);
        EXPECT_TRUE(same_bits<float>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      }
    }
  }
}

TEST(QuantizeEach, EveryIsaAndLengthGivesTheFormula) {
  Random random(3);
  for (int64_t n : test::lengths()) {
    const auto x = values(random, n);
    auto scale = random.vector(n, 0.01f, 3.0f);
    for (float& v : scale) {
      if (random.uniform(0, 3) == 0) v = kInverseScales[random.uniform<size_t>(0, 11)];
    }
    const auto zero_point = random.vector<int32_t>(n, 0, 255);
    const Requantize& bounds = kCases[n % std::size(kCases)];
    const auto expected = generate(n, [&](size_t i) {
      return expected_quantize(x[i], scale[i], {zero_point[i], bounds.lo, bounds.hi, bounds.flip});
    });
    const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
    const PageGuarded<float> scale_end(scale, PageGuarded<float>::Side::kAfter);
    const PageGuarded<int32_t> zero_point_end(zero_point, PageGuarded<int32_t>::Side::kAfter);
    for (const auto& kernel : runnable(quantize_each_kernels())) {
      Guarded<uint8_t> y(n, n % 5);
      kernel.run(x_end.data(), y.data(), n, scale_end.data(), zero_point_end.data(), bounds.lo,
                 bounds.hi, bounds.flip);
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

TEST(Dequantize, EveryIsaAndLengthGivesTheFormula) {
  Random random(4);
  for (int64_t n : test::lengths()) {
    const auto x = random.full_range<uint8_t>(n);
    const PageGuarded<uint8_t> x_end(x, PageGuarded<uint8_t>::Side::kAfter);
    for (float scale : {1.0f, 0.02f, 1e-40f, 3e38f}) {
      for (int32_t zero_point : {0, 77, 128, 255}) {
        const uint8_t flip = zero_point == 128 ? 0x80 : 0;
        const auto expected = generate(
            x.size(), [&](size_t i) { return expected_dequantize(x[i], scale, zero_point, flip); });
        for (const auto& kernel : runnable(dequantize_kernels())) {
          Guarded<float> y(n, n % 3);
          kernel.run(x_end.data(), y.data(), n, scale, zero_point, flip);
          EXPECT_TRUE(same_bits<float>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
          EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
        }
      }
    }
  }
}

TEST(Dequantize, EveryValue) {
  std::vector<uint8_t> x(256);
  for (int i = 0; i < 256; ++i) x[i] = static_cast<uint8_t>(i);
  for (int32_t zero_point = 0; zero_point < 256; ++zero_point) {
    for (uint8_t flip : {0, 0x80}) {
      const auto expected = generate(
          x.size(), [&](size_t i) { return expected_dequantize(x[i], 0.3f, zero_point, flip); });
      for (const auto& kernel : runnable(dequantize_kernels())) {
        Guarded<float> y(256);
        kernel.run(x.data(), y.data(), 256, 0.3f, zero_point, flip);
        ASSERT_TRUE(same_bits<float>(y.values(), expected)) << name(kernel.isa);
      }
    }
  }
}

TEST(DequantizeEach, EveryIsaAndLengthGivesTheFormula) {
  Random random(5);
  for (int64_t n : test::lengths()) {
    const auto x = random.full_range<uint8_t>(n);
    const auto scale = random.vector(n, 1e-4f, 2.0f);
    const auto zero_point = random.vector<int32_t>(n, 0, 255);
    const uint8_t flip = n % 2 ? 0x80 : 0;
    const auto expected = generate(
        n, [&](size_t i) { return expected_dequantize(x[i], scale[i], zero_point[i], flip); });
    const PageGuarded<uint8_t> x_end(x, PageGuarded<uint8_t>::Side::kAfter);
    const PageGuarded<float> scale_end(scale, PageGuarded<float>::Side::kAfter);
    const PageGuarded<int32_t> zero_point_end(zero_point, PageGuarded<int32_t>::Side::kAfter);
    for (const auto& kernel : runnable(dequantize_each_kernels())) {
      Guarded<float> y(n, n % 5);
      kernel.run(x_end.data(), y.data(), n, scale_end.data(), zero_point_end.data(), flip);
      EXPECT_TRUE(same_bits<float>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

void expect_min_max(const std::vector<float>& x, float min, float max) {
  const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
  for (const auto& kernel : runnable(summarize_kernels())) {
    const Summary summary = kernel.run(x_end.data(), x_end.size());
    const float actual[] = {summary.min, summary.max}, expected[] = {min, max};
    EXPECT_TRUE(same_bits<float>(actual, expected)) << name(kernel.isa) << ", n " << x.size();
  }
}

TEST(MinMax, FindsBothAtEveryPlace) {
  Random random(6);
  for (int64_t n : {1, 2, 7, 31, 32, 33, 64, 65, 130}) {
    for (int64_t place = 0; place < n; ++place) {
      auto x = random.vector(n, -1.0f, 1.0f);
      x[place] = 5.0f;
      x[(place + 1) % n] = -7.0f;
      expect_min_max(x, -7.0f, n == 1 ? -7.0f : 5.0f);
    }
  }
}

TEST(MinMax, IsThatOfSortedValues) {
  Random random(7);
  for (int64_t n : test::lengths()) {
    if (n == 0) continue;
    auto x = values(random, n);
    std::replace_if(x.begin(), x.end(), [](float v) { return std::isnan(v); }, 1.25f);
    const auto [min, max] = std::minmax_element(x.begin(), x.end());
    expect_min_max(x, *min + 0.0f, *max + 0.0f);
  }
}

TEST(MinMax, ZerosArePositive) {
  for (int64_t n : {1, 5, 64, 200}) {
    std::vector<float> x(n, -0.0f);
    expect_min_max(x, 0.0f, 0.0f);
    x[n / 2] = 0.0f;
    expect_min_max(x, 0.0f, 0.0f);
  }
}

TEST(MinMax, NanAnywhereGivesNan) {
  Random random(8);
  for (int64_t n : {1, 2, 33, 64, 100, 257}) {
    for (int64_t place = 0; place < n; ++place) {
      auto x = random.vector(n, -1.0f, 1.0f);
      x[place] = kNan;
      for (const auto& kernel : runnable(summarize_kernels())) {
        const Summary s = kernel.run(x.data(), n);
        EXPECT_TRUE(std::isnan(s.min) && std::isnan(s.max) && std::isnan(s.magnitudes))
            << name(kernel.isa) << ", n " << n << ", NaN at " << place;
      }
    }
  }
}

TEST(Magnitudes, AreTheSumOnEveryIsa) {
  Random random(9);
  for (int64_t n : test::lengths()) {
    if (n == 0) continue;
    // Integers: their sum is exact in any order.
    std::vector<float> x = random.vector(n, -1000.0f, 1000.0f);
    for (float& v : x) v = std::nearbyint(v);
    double sum = 0;
    for (float v : x) sum += std::fabs(v);
    const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
    std::vector<float> reals = values(random, n);
    const float expected = summarize_kernels().back().run(reals.data(), n).magnitudes;
    for (const auto& kernel : runnable(summarize_kernels())) {
      EXPECT_EQ(kernel.run(x_end.data(), n).magnitudes, sum) << name(kernel.isa) << ", n " << n;
      const float actual[] = {kernel.run(reals.data(), n).magnitudes};
      EXPECT_TRUE(std::isnan(expected) ? std::isnan(actual[0])
                                       : same_bits<float>(actual, std::vector{expected}))
          << name(kernel.isa) << ", n " << n;
    }
  }
}

TEST(FindAbove, FindsTheFirstInOrder) {
  Random random(10);
  for (int64_t n : test::lengths()) {
    for (float threshold : {0.0f, 0.5f, 0.9f, 0.99f, 1.0f}) {
      std::vector<float> x = random.vector(n, -1.0f, 1.0f);
      if (n > 3) x[random.uniform<int64_t>(0, n - 1)] = kNan;
      std::vector<int32_t> expected;
      for (int64_t i = 0; i < n; ++i) {
        if (std::fabs(x[i]) > threshold) expected.push_back(static_cast<int32_t>(i));
      }
      const PageGuarded<float> x_end(x, PageGuarded<float>::Side::kAfter);
      for (int64_t limit : {0, 1, 4, 100}) {
        const auto found = std::min<int64_t>(limit, expected.size());
        for (const auto& kernel : runnable(find_above_kernels())) {
          Guarded<int32_t> positions(limit, 0);
          EXPECT_EQ(kernel.run(x_end.data(), n, threshold, positions.data(), limit),
                    std::min<int64_t>(limit + 1, expected.size()));
          EXPECT_TRUE(positions.intact());
          EXPECT_TRUE(std::equal(expected.begin(), expected.begin() + found, positions.data()))
              << name(kernel.isa) << ", n " << n << ", limit " << limit;
        }
      }
    }
  }
}

}  // namespace
}  // namespace qnative::quantize
