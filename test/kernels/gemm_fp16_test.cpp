#include "gemm_fp16/gemm_fp16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "blocks.h"
#include "common.h"
#include "half.h"

namespace qnative::gemm_fp16 {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int64_t padded(int64_t n) { return round_up(n, kPanelColumns); }

struct Problem {
  Problem(int64_t m, int64_t n, int64_t k, uint64_t seed)
      : m(m),
        n(n),
        k(k),
        random(seed),
        x(random.vector<float>(m * k, -2.0f, 2.0f)),
        weight(n * k),
        bias(random.vector<float>(padded(n), -3.0f, 3.0f)) {
    for (uint16_t& w : weight) w = float_to_half(random.uniform(-1.0f, 1.0f));
  }

  // Runs over a range of a poisoned y, x and the weight ending before unreadable pages.
  template <class T>
  void run(Fn& fn, Guarded<T>& y, int64_t m_begin, int64_t m_end, int64_t n_begin,
           int64_t n_end) const {
    std::vector<uint16_t> packed(packed_size(n, k));
    pack(weight.data(), n, k, k, 1, packed.data());
    const PageGuarded<uint16_t> w(packed, PageGuarded<uint16_t>::Side::kAfter);
    const PageGuarded<float> rows(x, PageGuarded<float>::Side::kAfter);
    const PageGuarded<float> b(bias, PageGuarded<float>::Side::kAfter);
    const Args args = {.x = rows.data(),
                       .x_stride = k,
                       .k = k,
                       .weight = w.data(),
                       .bias = b.data(),
                       .n = n,
                       .y = y.data(),
                       .y_stride = n + 3,
                       .half_output = sizeof(T) == 2,
                       .activation = activation,
                       .lo = lo,
                       .hi = hi};
    fn(args, m_begin, m_end, n_begin, n_end);
  }

  int64_t m, n, k;
  Random random;
  std::vector<float> x;
  std::vector<uint16_t> weight;
  std::vector<float> bias;
  FloatActivation activation = FloatActivation::kNone;
  float lo = -kInf, hi = kInf;
};

bool same(float a, float b) { return memcmp(&a, &b, sizeof(a)) == 0 || (a != a && b != b); }
bool same(uint16_t a, uint16_t b) { return same(half_to_float(a), half_to_float(b)); }

template <class T>
void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& p, int64_t m_begin,
                          int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t size = p.m * (p.n + 3);
  Guarded<T> expected(size), actual(size, 1);
  p.run(*kernels().back().run, expected, m_begin, m_end, n_begin, n_end);
  p.run(*kernel.run, actual, m_begin, m_end, n_begin, n_end);
  for (int64_t i = 0; i < size; ++i) {
    ASSERT_TRUE(same(actual.data()[i], expected.data()[i]))
        << name(kernel.isa) << " m=" << p.m << " n=" << p.n << " k=" << p.k << " row "
        << i / (p.n + 3) << " column " << i % (p.n + 3);
  }
  EXPECT_TRUE(actual.intact());
}

void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& p) {
  expect_equals_scalar<float>(kernel, p, 0, p.m, 0, p.n);
  expect_equals_scalar<uint16_t>(kernel, p, 0, p.m, 0, p.n);
}

class GemmFp16Test : public testing::TestWithParam<Kernel<Fn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, GemmFp16Test, testing::ValuesIn(runnable(kernels())),
                         [](const auto& info) { return name(info.param.isa); });

TEST_P(GemmFp16Test, RowsByColumns) {
  for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 29}) {
    for (int64_t n :
         {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 100, 112, 113, 127, 128, 129, 300}) {
      expect_equals_scalar(GetParam(), Problem(m, n, 1 + (m * 7 + n) % 40, m * 1000 + n));
      if (HasFatalFailure()) return;
    }
  }
}

// More rows than a cache block, and long sums: their bits depend on the order.
TEST_P(GemmFp16Test, LargeK) {
  expect_equals_scalar(GetParam(), Problem(101, 18, 2200, 1));
  expect_equals_scalar(GetParam(), Problem(1, 130, 5000, 2));
}

TEST_P(GemmFp16Test, PartialRangesWriteNothingElse) {
  const Problem p(20, 200, 9, 3);
  for (const auto& [m_begin, m_end] : {std::pair{0, 20}, {3, 4}, {5, 7}, {19, 20}, {4, 4}}) {
    for (const auto& [n_begin, n_end] :
         {std::pair{0, 16}, {16, 17}, {16, 150}, {64, 1000}, {192, 200}, {32, 32}}) {
      expect_equals_scalar<float>(GetParam(), p, m_begin, m_end, n_begin, n_end);
      expect_equals_scalar<uint16_t>(GetParam(), p, m_begin, m_end, n_begin, n_end);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmFp16Test, NothingToSum) { expect_equals_scalar(GetParam(), Problem(3, 20, 0, 1)); }

// All 65536 weights, among them NaN, infinities and denormals; values of x that overflow.
TEST_P(GemmFp16Test, EveryWeight) {
  Problem p(3, 4096, 16, 5);
  for (size_t i = 0; i < p.weight.size(); ++i) p.weight[i] = static_cast<uint16_t>(i);
  expect_equals_scalar(GetParam(), p);
  for (float& value : p.x) value *= 1e37f;
  expect_equals_scalar(GetParam(), p);
  for (float& value : p.x) value = value > 0 ? kInf : kNan;
  expect_equals_scalar(GetParam(), p);
}

TEST_P(GemmFp16Test, ActivationsAndBounds) {
  Problem p(5, 70, 8, 6);
  for (int i = 0; i <= static_cast<int>(FloatActivation::kHardsigmoid); ++i) {
    p.activation = static_cast<FloatActivation>(i);
    expect_equals_scalar(GetParam(), p);
    if (HasFatalFailure()) return;
  }
  p.activation = FloatActivation::kNone;
  p.bias[3] = kNan;
  p.lo = -0.5f;
  p.hi = 0.75f;
  expect_equals_scalar(GetParam(), p);
}

// Outputs of every magnitude of a half, and halfway cases.
TEST_P(GemmFp16Test, RoundsToHalf) {
  Problem p(1, 66000, 0, 7);
  for (int64_t i = 0; i < p.n; ++i) {
    const float value = half_to_float(static_cast<uint16_t>(i));
    const float next = half_to_float(static_cast<uint16_t>(i + 1));
    p.bias[i] = i % 3 == 0 ? value : i % 3 == 1 ? (value + next) / 2 : value * 1.0003f;
  }
  p.bias[0] = 65519.0f;
  p.bias[1] = 65520.0f;
  expect_equals_scalar<uint16_t>(GetParam(), p, 0, 1, 0, p.n);
}

// x and weights whose sums are exact in any order.
TEST(GemmFp16ScalarTest, IsTheFormula) {
  Problem p(5, 19, 30, 4);
  for (float& value : p.x) value = static_cast<float>(p.random.uniform(-8, 8));
  for (uint16_t& w : p.weight) w = float_to_half(p.random.uniform(-64, 64) * 0.125f);
  for (float& b : p.bias) b = p.random.uniform(-64, 64) * 0.25f;
  p.lo = -100;
  p.hi = 90;
  Guarded<float> y(p.m * (p.n + 3));
  Guarded<uint16_t> half(y.size());
  p.run(*kernels().back().run, y, 0, p.m, 0, p.n);
  p.run(*kernels().back().run, half, 0, p.m, 0, p.n);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t n = 0; n < p.n; ++n) {
      double sum = p.bias[n];
      for (int64_t k = 0; k < p.k; ++k) {
        sum += p.x[i * p.k + k] * half_to_float(p.weight[n * p.k + k]);
      }
      const auto want = static_cast<float>(std::clamp(sum, -100.0, 90.0));
      EXPECT_EQ(y.data()[i * (p.n + 3) + n], want);
      EXPECT_EQ(half.data()[i * (p.n + 3) + n], float_to_half(want));
    }
  }
}

class WidenTest : public testing::TestWithParam<Kernel<WidenFn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, WidenTest, testing::ValuesIn(runnable(widen_kernels())),
                         [](const auto& info) { return name(info.param.isa); });

TEST_P(WidenTest, EveryHalf) {
  std::vector<uint16_t> x(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i);
  for (int64_t n : {0, 1, 7, 8, 9, 15, 17, 31, 65536}) {
    Guarded<float> y(n, 1);
    const PageGuarded<uint16_t> from(std::span<const uint16_t>(x).last(n),
                                     PageGuarded<uint16_t>::Side::kAfter);
    GetParam().run(from.data(), y.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_TRUE(same(y.data()[i], half_to_float(from.data()[i]))) << from.data()[i];
    }
    EXPECT_TRUE(y.intact());
  }
}

// IEEE half precision in powers of two.
TEST(HalfTest, Values) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float sign = half >> 15 ? -1.0f : 1.0f;
    float want = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                               : std::ldexp(1024.0f + static_cast<float>(fraction), exponent - 25);
    if (exponent == 31) want = fraction ? kNan : kInf;
    ASSERT_TRUE(same(half_to_float(half), sign * want)) << i;
    if (want == want) {
      ASSERT_EQ(float_to_half(want * sign), half);
    }
  }
  EXPECT_EQ(float_to_half(1 + 0x1p-11f), 0x3c00);  // ties go to even
  EXPECT_EQ(float_to_half(1 + 0x3p-11f), 0x3c02);
  EXPECT_EQ(float_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_half(-65520.0f), 0xfc00);
  EXPECT_EQ(float_to_half(0x1p-25f), 0);
  EXPECT_EQ(float_to_half(0x1.8p-25f), 1);
}

TEST(GemmFp16PackTest, RoundTripAndLayout) {
  for (int64_t n : {1, 15, 16, 17, 40}) {
    for (int64_t k : {0, 1, 5}) {
      std::vector<uint16_t> weight(n * k);
      for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<uint16_t>(i + 1);
      Guarded<uint16_t> packed(packed_size(n, k));
      ASSERT_EQ(packed.size(), padded(n) * k);
      pack(weight.data(), n, k, k, 1, packed.data());
      EXPECT_TRUE(packed.intact());
      for (int64_t column = 0; column < padded(n); ++column) {
        for (int64_t i = 0; i < k; ++i) {
          EXPECT_EQ(packed.data()[(column / 16 * k + i) * 16 + column % 16],
                    column < n ? weight[column * k + i] : 0);
        }
      }
      Guarded<uint16_t> unpacked(n * k);
      unpack(packed.data(), n, k, unpacked.data());
      EXPECT_TRUE(test::same_bits<uint16_t>(unpacked.values(), weight));
    }
  }
}

}  // namespace
}  // namespace qnative::gemm_fp16
