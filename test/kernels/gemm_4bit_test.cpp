#include "gemm_4bit/gemm_4bit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "common.h"

namespace qnative::gemm_4bit {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float to_float(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

bool same(float a, float b) { return memcmp(&a, &b, sizeof(a)) == 0 || (a != a && b != b); }

// Rows of x and weights of any codes.
struct Problem {
  Problem(int64_t m, int64_t n, int64_t k, int64_t group, uint64_t seed)
      : m(m),
        n(n),
        layout{k, std::min(group, k)},
        random(seed),
        x(random.vector<float>(m * k, -2.0f, 2.0f)),
        codes(random.vector<int8_t>(n * k, -8, 7)),
        scales(n * layout.groups()),
        bias(random.vector<float>(round_up(n, kPanelColumns), -3.0f, 3.0f)) {
    // bfloat16 from 2^-7 to 2, of either sign.
    for (uint16_t& s : scales) {
      s = static_cast<uint16_t>(random.uniform(0x3c00, 0x3fff) | random.uniform(0, 1) << 15);
    }
  }

  // q, start and scale of all rows, on `isa`.
  void quantize(QuantizeFn& fn, int8_t* q, int32_t* start, float* scale) const {
    const PageGuarded<float> rows(x, PageGuarded<float>::Side::kAfter);
    for (int64_t i = 0; i < m; ++i) fn(rows.data() + i * layout.k, layout, {q, start, scale}, i);
  }

  // Runs over a range of a poisoned y, weights and rows ending before unreadable pages.
  void run(Fn& fn, Guarded<float>& y, int64_t m_begin, int64_t m_end, int64_t n_begin,
           int64_t n_end) const {
    std::vector<uint8_t> packed(layout.packed_bytes(n));
    pack(codes.data(), scales.data(), layout, n, packed.data());
    std::vector<int8_t> q(m * layout.row_bytes());
    std::vector<int32_t> start(m * layout.groups());
    std::vector<float> scale(start.size());
    quantize(*quantize_kernels().back().run, q.data(), start.data(), scale.data());
    const PageGuarded<uint8_t> w(packed, PageGuarded<uint8_t>::Side::kAfter);
    PageGuarded<int8_t> rows(q, PageGuarded<int8_t>::Side::kAfter);
    const PageGuarded<float> b(bias, PageGuarded<float>::Side::kAfter);
    fn({.layout = layout,
        .x = {rows.data(), start.data(), scale.data()},
        .weight = w.data(),
        .bias = b.data(),
        .n = n,
        .y = y.data(),
        .y_stride = n + 3,
        .activation = activation,
        .lo = lo,
        .hi = hi},
       m_begin, m_end, n_begin, n_end);
  }

  int64_t m, n;
  Layout layout;
  Random random;
  std::vector<float> x;
  std::vector<int8_t> codes;
  std::vector<uint16_t> scales;
  std::vector<float> bias;
  FloatActivation activation = FloatActivation::kNone;
  float lo = -kInf, hi = kInf;
};

void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& p, int64_t m_begin,
                          int64_t m_end, int64_t n_begin, int64_t n_end) {
  Guarded<float> expected(p.m * (p.n + 3)), actual(p.m * (p.n + 3), 1);
  p.run(*kernels().back().run, expected, m_begin, m_end, n_begin, n_end);
  p.run(*kernel.run, actual, m_begin, m_end, n_begin, n_end);
  for (int64_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(same(actual.data()[i], expected.data()[i]))
        << name(kernel.isa) << " m=" << p.m << " n=" << p.n << " k=" << p.layout.k
        << " group=" << p.layout.group << " row " << i / (p.n + 3) << " column " << i % (p.n + 3);
  }
  EXPECT_TRUE(actual.intact());
}

void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& p) {
  expect_equals_scalar(kernel, p, 0, p.m, 0, p.n);
}

class Gemm4BitTest : public testing::TestWithParam<Kernel<Fn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, Gemm4BitTest, testing::ValuesIn(runnable(kernels())),
                         [](const auto& info) { return name(info.param.isa); });

TEST_P(Gemm4BitTest, RowsByColumns) {
  for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 25}) {
    for (int64_t n : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 100, 128, 129}) {
      expect_equals_scalar(GetParam(),
                           Problem(m, n, 1 + (m * 37 + n) % 150, 4 * (1 + n % 9), m * 1000 + n));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Gemm4BitTest, GroupsOfAnySize) {
  for (int64_t group : {4, 8, 12, 20, 32, 64, 100, 128, 1000}) {
    for (int64_t k : {1, 3, 4, 7, 8, 9, 31, 32, 33, 100, 131, 260, 1000}) {
      for (int64_t m : {1, 7}) {
        expect_equals_scalar(GetParam(), Problem(m, 81, k, group, group * 1000 + k));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// More rows than a cache block.
TEST_P(Gemm4BitTest, LargeK) {
  expect_equals_scalar(GetParam(), Problem(101, 18, 8200, 32, 1));
  expect_equals_scalar(GetParam(), Problem(1, 130, 5000, 128, 2));
  expect_equals_scalar(GetParam(), Problem(2, 33, 70000, 70000, 3));
}

TEST_P(Gemm4BitTest, PartialRangesWriteNothingElse) {
  const Problem p(20, 200, 41, 16, 3);
  for (const auto& [m_begin, m_end] : {std::pair{0, 20}, {3, 4}, {5, 7}, {19, 20}, {4, 4}}) {
    for (const auto& [n_begin, n_end] :
         {std::pair{0, 16}, {16, 17}, {16, 150}, {64, 1000}, {192, 200}, {32, 32}}) {
      expect_equals_scalar(GetParam(), p, m_begin, m_end, n_begin, n_end);
      if (HasFatalFailure()) return;
    }
  }
}

// The largest sums of a group.
TEST_P(Gemm4BitTest, Extremes) {
  Problem p(7, 40, kMaxGroup, kMaxGroup, 4);
  p.m = 2;
  std::fill(p.x.begin(), p.x.end(), 1.0f);
  for (int8_t code : {-8, 7}) {
    std::fill(p.codes.begin(), p.codes.end(), code);
    p.n = 3;
    expect_equals_scalar(GetParam(), p);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Gemm4BitTest, ActivationsBoundsAndNonFiniteRows) {
  Problem p(5, 70, 40, 16, 6);
  for (int i = 0; i <= static_cast<int>(FloatActivation::kHardsigmoid); ++i) {
    p.activation = static_cast<FloatActivation>(i);
    expect_equals_scalar(GetParam(), p);
    if (HasFatalFailure()) return;
  }
  p.activation = FloatActivation::kNone;
  p.lo = -0.5f;
  p.hi = 0.75f;
  p.bias[3] = kNan;
  p.x[40 * 2 + 39] = kInf;
  p.x[40 * 4] = kNan;
  expect_equals_scalar(GetParam(), p);
}

// Scales and codes whose sums are exact in any order.
TEST(Gemm4BitScalarTest, IsTheFormula) {
  Problem p(5, 19, 30, 8, 4);
  for (uint16_t& s : p.scales) s = static_cast<uint16_t>(p.random.uniform(0, 1) << 15 | 0x3e80);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t k = 0; k < 30; ++k) {
      // Each group has a 127: its scale is 1.
      p.x[i * 30 + k] = k % 8 == 3 ? 127.0f : static_cast<float>(p.random.uniform(-127, 127));
    }
  }
  for (float& b : p.bias) b = p.random.uniform(-64, 64) * 0.25f;
  p.lo = -300;
  p.hi = 290;
  Guarded<float> y(p.m * (p.n + 3));
  p.run(*kernels().back().run, y, 0, p.m, 0, p.n);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t n = 0; n < p.n; ++n) {
      double sum = p.bias[n];
      for (int64_t k = 0; k < 30; ++k) {
        sum += double{p.x[i * 30 + k]} * p.codes[n * 30 + k] * to_float(p.scales[n * 4 + k / 8]);
      }
      EXPECT_EQ(y.data()[i * (p.n + 3) + n], static_cast<float>(std::clamp(sum, -300.0, 290.0)));
    }
  }
}

class Quantize4BitTest : public testing::TestWithParam<Kernel<QuantizeFn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, Quantize4BitTest, testing::ValuesIn(runnable(quantize_kernels())),
                         [](const auto& info) { return name(info.param.isa); });

TEST_P(Quantize4BitTest, EqualsScalar) {
  for (int64_t k : {1, 3, 4, 15, 16, 17, 31, 33, 40, 129, 300}) {
    for (int64_t group : {4, 12, 16, 20, 32, 64, 1000}) {
      for (float magnitude : {1e-45f, 1e-38f, 1.0f, 1e38f}) {
        Problem p(4, 1, k, group, k * 1000 + group);
        for (float& value : p.x) value *= magnitude;
        p.x[k + k / 2] = kNan;
        p.x[2 * k] = -kInf;
        std::fill_n(p.x.begin() + 3 * k, k, -0.0f);
        const int64_t bytes = p.m * p.layout.row_bytes(), groups = p.m * p.layout.groups();
        Guarded<int8_t> want_q(bytes), q(bytes, 1);
        Guarded<int32_t> want_start(groups), start(groups, 1);
        Guarded<float> want_scale(groups), scale(groups, 1);
        p.quantize(*quantize_kernels().back().run, want_q.data(), want_start.data(),
                   want_scale.data());
        p.quantize(*GetParam().run, q.data(), start.data(), scale.data());
        ASSERT_TRUE(test::same_bits<int8_t>(q.values(), want_q.values())) << k << " " << group;
        ASSERT_TRUE(test::same_bits<int32_t>(start.values(), want_start.values()));
        for (int64_t i = 0; i < groups; ++i)
          ASSERT_TRUE(same(scale.data()[i], want_scale.data()[i]));
        EXPECT_TRUE(q.intact() && start.intact() && scale.intact());
      }
    }
  }
}

class Fit4BitTest : public testing::TestWithParam<Kernel<FitFn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, Fit4BitTest, testing::ValuesIn(runnable(fit_kernels())),
                         [](const auto& info) { return name(info.param.isa); });

TEST_P(Fit4BitTest, EqualsScalar) {
  Random random(1);
  for (int64_t n : {1, 2, 31, 32, 100}) {
    const PageGuarded<float> w(random.vector<float>(n, -5.0f, 5.0f),
                               PageGuarded<float>::Side::kAfter);
    float scale[kCandidates];
    for (float& s : scale) s = random.uniform(0.01f, 0.3f) * (random.uniform(0, 1) ? 1.0f : -1.0f);
    Fit expected, actual;
    fit_kernels().back().run(w.data(), n, 5.0f, scale, expected);
    GetParam().run(w.data(), n, 5.0f, scale, actual);
    EXPECT_EQ(memcmp(&expected, &actual, sizeof(Fit)), 0) << n;
  }
}

double squared_error(const std::vector<float>& w, const int8_t* code, uint16_t scale) {
  double error = 0;
  for (size_t k = 0; k < w.size(); ++k) {
    const double e = double{w[k]} - code[k] * double{to_float(scale)};
    error += e * e;
  }
  return error;
}

// No worse than the usual scales, and close to the best of a fine grid.
TEST(QuantizeGroupTest, FindsAGoodScale) {
  Random random(2);
  double found = 0, usual = 0, best = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> w(32);
    for (float& value : w) value = random.uniform(-1.0f, 1.0f) + random.uniform(-1.0f, 1.0f);
    std::vector<int8_t> code(32);
    uint16_t scale = 0;
    quantize_group(*fit_kernels().back().run, w.data(), 32, code.data(), &scale);
    found += squared_error(w, code.data(), scale);
    float peak = 0;
    for (const float value : w) peak = std::max(peak, std::abs(value));
    double least = HUGE_VAL;
    for (int step = -450; step <= 450; ++step) {
      const float s = peak / (step < 0 ? step / 50.0f - 1 : step / 50.0f + 1);
      double error = 0;
      for (const float value : w) {
        const double e = value - s * std::clamp(std::nearbyint(value / s), -8.0f, 7.0f);
        error += e * e;
      }
      if (step == 300) usual += error;  // max |w| / 7
      least = std::min(least, error);
    }
    best += least;
  }
  EXPECT_LT(found, 0.8 * usual);
  EXPECT_LT(found, 1.02 * best);
}

TEST(QuantizeGroupTest, ExactWeightsZerosAndExtremes) {
  std::vector<int8_t> code(16);
  uint16_t scale = 0;
  const auto quantize = [&](const std::vector<float>& w) {
    quantize_group(*fit_kernels().back().run, w.data(), 16, code.data(), &scale);
    return squared_error(w, code.data(), scale);
  };
  std::vector<float> w(16);
  for (float unit : {0.25f, 1e-30f * 1.0f, 0x1p-120f, 0x1p120f}) {
    const float step = std::exp2(std::round(std::log2(unit)));
    for (int i = 0; i < 16; ++i) w[i] = static_cast<float>(i - 8) * step;
    EXPECT_EQ(quantize(w), 0) << unit;
    for (float& value : w) value = -value;
    EXPECT_EQ(quantize(w), 0) << unit;
  }
  std::fill(w.begin(), w.end(), 0.0f);
  EXPECT_EQ(quantize(w), 0);
  EXPECT_EQ(to_float(scale), 1.0f);
  w[3] = std::numeric_limits<float>::max();
  quantize(w);
  EXPECT_TRUE(std::isfinite(to_float(scale)));
  EXPECT_NEAR(code[3] * double{to_float(scale)} / w[3], 1, 0.01);
  w[3] = std::numeric_limits<float>::denorm_min();
  quantize(w);
  EXPECT_EQ(std::abs(to_float(scale)), std::numeric_limits<float>::min());
}

TEST(Gemm4BitPackTest, RoundTripAndLayout) {
  for (int64_t n : {1, 15, 16, 17, 40}) {
    for (const Layout layout : {Layout{1, 1}, {5, 4}, {12, 12}, {23, 8}, {64, 32}}) {
      const Problem p(1, n, layout.k, layout.group, n);
      Guarded<uint8_t> packed(layout.packed_bytes(n));
      pack(p.codes.data(), p.scales.data(), layout, n, packed.data());
      EXPECT_TRUE(packed.intact());
      for (int64_t column = 0; column < n; ++column) {
        const uint8_t* const panel = packed.data() + column / 16 * layout.panel_bytes();
        for (int64_t g = 0; g < layout.groups(); ++g) {
          uint16_t scale;
          memcpy(&scale, panel + (g * 16 + column % 16) * 2, sizeof(scale));
          EXPECT_EQ(scale, p.scales[column * layout.groups() + g]);
        }
        for (int64_t k = 0; k < layout.k; ++k) {
          const int64_t at = k / layout.group * layout.group_steps() * 8 + k % layout.group;
          const uint8_t byte = panel[layout.scale_bytes() + at / 8 * 64 + column % 16 * 4 + at % 4];
          EXPECT_EQ((at % 8 < 4 ? byte & 15 : byte >> 4) - 8, p.codes[column * layout.k + k]);
        }
      }
      Guarded<int8_t> codes(n * layout.k);
      Guarded<uint16_t> scales(n * layout.groups());
      unpack(packed.data(), layout, n, codes.data(), scales.data());
      EXPECT_TRUE(test::same_bits<int8_t>(codes.values(), p.codes));
      EXPECT_TRUE(test::same_bits<uint16_t>(scales.values(), p.scales));
    }
  }
}

}  // namespace
}  // namespace qnative::gemm_4bit
