#include "attention/attention.h"

#include <algorithm>
#include <cmath>

#include "blocks.h"
#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::attention {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

int64_t blocks(int64_t n) { return round_up(n, kBlock); }

// ---- Probabilities -------------------------------------------------------------------------

struct Row {
  std::vector<int32_t> x;
  float scale;
  std::vector<float> mask;  // empty: none

  int64_t size() const { return static_cast<int64_t>(x.size()); }
  float score(int64_t t) const {
    const float s = static_cast<float>(x[t]) * scale;
    return mask.empty() ? s : s + mask[t];
  }
};

struct Result {
  int64_t sum;
  std::vector<uint8_t> high, low;
};

// The kernel's result for a row; the memory after the row is unreadable.
Result run(ProbabilitiesFn& kernel, const Row& row, int64_t width) {
  std::vector<int32_t> padded = row.x;
  padded.resize(width, std::numeric_limits<int32_t>::max());
  PageGuarded<int32_t> x(padded, PageGuarded<int32_t>::Side::kAfter);
  const PageGuarded<float> mask(row.mask, PageGuarded<float>::Side::kAfter);
  Guarded<uint8_t> high(width, 1), low(width, 1);
  const float* const mask_data = row.mask.empty() ? nullptr : mask.data();
  const int64_t sum =
      kernel(x.data(), row.scale, mask_data, row.size(), width, high.data(), low.data());
  EXPECT_TRUE(high.intact() && low.intact());
  return {sum,
          {high.values().begin(), high.values().end()},
          {low.values().begin(), low.values().end()}};
}

// Every ISA against scalar, and that against the formula.
void expect_probabilities(const Row& row, int64_t width) {
  const auto all = runnable(probabilities_kernels());
  const Result expected = run(*probabilities_kernels().back().run, row, width);
  for (const auto& kernel : all) {
    const Result actual = run(*kernel.run, row, width);
    EXPECT_EQ(actual.sum, expected.sum) << name(kernel.isa) << ", n " << row.size();
    EXPECT_TRUE(same_bits<uint8_t>(actual.high, expected.high)) << name(kernel.isa);
    EXPECT_TRUE(same_bits<uint8_t>(actual.low, expected.low)) << name(kernel.isa);
  }
  double largest = -kInf;
  bool has_nan = false;
  for (int64_t t = 0; t < row.size(); ++t) {
    has_nan = has_nan || std::isnan(row.score(t));
    largest = std::max<double>(largest, row.score(t));
  }
  const bool is_nan = has_nan || largest == kInf, is_number = !is_nan && largest > -kInf;
  int64_t sum = 0;
  for (int64_t t = 0; t < width; ++t) {
    const int p = expected.high[t] * 256 + expected.low[t];
    sum += p;
    const double exact =
        is_number && t < row.size() ? 65535 * std::exp(row.score(t) - largest) : 0.0;
    // Half for rounding; exp is within a few parts in 10^7, of differences that are rounded too.
    const double slack = 0.5 + exact * 1e-6;
    ASSERT_NEAR(p, exact, slack) << "t " << t << " of " << row.size();
  }
  EXPECT_EQ(expected.sum, is_nan ? kNanRow : sum);
  EXPECT_TRUE(!is_number || sum >= 65535);
}

std::vector<float> mask_of(Random& random, int64_t n) {
  const float ends[] = {-kInf, 0, -kMax, -1e9f, -10000, 3};
  std::vector<float> mask(n);
  for (float& m : mask) {
    const int i = random.uniform(0, 11);
    m = i < 6 ? ends[i] : random.uniform(-4.0f, 4.0f);
  }
  return mask;
}

TEST(Probabilities, EveryIsaGivesTheFormulaAtEveryLength) {
  Random random(1);
  for (int64_t n : test::lengths()) {
    for (float scale : {1e-4f, 3e-4f, 2e-3f, -1e-3f, 1.0f}) {
      Row row = {random.vector<int32_t>(n, -20000, 20000), scale, {}};
      expect_probabilities(row, blocks(n));
      row.mask = mask_of(random, n);
      expect_probabilities(row, blocks(n) + 2 * kBlock);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Probabilities, FullRangeOfScoresAndScales) {
  Random random(2);
  for (float scale : {0.0f, 1e-9f, 1e-30f, 1e30f, -1e30f, 1e-42f, kInf, kNan}) {
    for (int64_t n : {1, 15, 64, 70, 129}) {
      expect_probabilities({random.full_range<int32_t>(n), scale, {}}, blocks(n));
      if (HasFatalFailure()) return;
    }
  }
}

// A single odd value in each place of a row, where all others are masked or not.
TEST(Probabilities, NanAndInfinityAnywhere) {
  for (int64_t n : {1, 16, 17, 64, 77, 130}) {
    for (int64_t at = 0; at < n; ++at) {
      for (float odd : {kNan, kInf, -kInf, kMax, 0.0f}) {
        for (float others : {0.0f, -kInf}) {
          Row row = {std::vector<int32_t>(n, 3), 0.5f, std::vector<float>(n, others)};
          row.mask[at] = odd;
          expect_probabilities(row, blocks(n));
        }
      }
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Probabilities, MaskedRowsAreZero) {
  for (const auto& kernel : runnable(probabilities_kernels())) {
    const Row masked = {std::vector<int32_t>(70, 5), 1.0f, std::vector<float>(70, -kInf)};
    for (const Row& row : {masked, Row{{}, 1.0f, {}}}) {
      const Result result = run(*kernel.run, row, 128);
      EXPECT_EQ(result.sum, 0);
      EXPECT_EQ(result.high, std::vector<uint8_t>(128, 0)) << name(kernel.isa);
      EXPECT_EQ(result.low, std::vector<uint8_t>(128, 0)) << name(kernel.isa);
    }
  }
}

// Where the sum of a lane, and of all, is the largest.
TEST(Probabilities, SumsOfLongRows) {
  for (int64_t n : {65793, 200001}) {
    expect_probabilities({std::vector<int32_t>(n, -7), 0.5f, {}}, blocks(n));
  }
}

// ---- Outputs -------------------------------------------------------------------------------

float combined(const Combine& args, int32_t high, int32_t low, float multiplier, int64_t i) {
  const auto sum = static_cast<float>(int64_t{256} * high + low);
  const float factor = multiplier * args.scale[i];
  return static_cast<float>(static_cast<long double>(sum) * factor + args.bias[i]);
}

TEST(CombineTest, EveryIsaGivesTheFormulaAtEveryLength) {
  Random random(3);
  for (int64_t n : test::lengths()) {
    for (uint8_t flip : {0, 0x80}) {
      const PageGuarded<int32_t> high(random.full_range<int32_t>(n),
                                      PageGuarded<int32_t>::Side::kAfter);
      const PageGuarded<int32_t> low(random.full_range<int32_t>(n),
                                     PageGuarded<int32_t>::Side::kAfter);
      const PageGuarded<float> scale(random.vector(n, 0.01f, 2.0f),
                                     PageGuarded<float>::Side::kAfter);
      const PageGuarded<float> bias(random.vector(n, -90.0f, 90.0f),
                                    PageGuarded<float>::Side::kAfter);
      const Combine args = {scale.data(), bias.data(), {random.uniform(0, 255), 3, 250, flip}};
      const float multiplier = random.uniform(0.5e-9f, 2e-9f);
      std::vector<float> reals(n);
      std::vector<uint8_t> bytes(n);
      for (int64_t i = 0; i < n; ++i) {
        reals[i] = combined(args, high.data()[i], low.data()[i], multiplier, i);
        bytes[i] = requantize(reals[i], args.requantize);
      }
      for (const auto& kernel : runnable(combine_kernels())) {
        Guarded<uint8_t> y(n, 1);
        kernel.run(args, high.data(), low.data(), multiplier, y.data(), n);
        EXPECT_TRUE(same_bits<uint8_t>(y.values(), bytes)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa);
      }
      for (const auto& kernel : runnable(combine_float_kernels())) {
        Guarded<float> y(n, 1);
        kernel.run(args, high.data(), low.data(), multiplier, y.data(), n);
        EXPECT_TRUE(same_bits<float>(y.values(), reals)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa);
      }
    }
  }
}

// Sums whose two roundings, one of each half, would differ from one rounding of the whole.
TEST(CombineTest, RoundsOnce) {
  const float one = 1, zero = 0;
  const Combine args = {&one, &zero, {}};
  for (int32_t high : {(1 << 24) + 1, (1 << 30) + 64, -(1 << 29) - 32, 2147450880}) {
    for (int32_t low : {-1, 1, 127, 129, 2147450880}) {
      const auto expected = static_cast<float>(int64_t{256} * high + low);
      for (const auto& kernel : runnable(combine_float_kernels())) {
        float y;
        kernel.run(args, &high, &low, 1.0f, &y, 1);
        EXPECT_EQ(y, expected) << name(kernel.isa) << " " << high << " " << low;
      }
    }
  }
}

}  // namespace
}  // namespace qnative::attention
