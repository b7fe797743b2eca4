#include "simd/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "simd/real_scalar.h"

// The formulas against long double. The tests of the kernels that apply them compare the ISAs.
namespace qnative {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

long double expected(FloatActivation activation, long double x) {
  switch (activation) {
    case FloatActivation::kGelu:
      return x * erfcl(-x / sqrtl(2)) / 2;
    case FloatActivation::kGeluTanh:
      return x / (1 + expl(-2 * sqrtl(M_2_PIl) * (x + 0.044715L * x * x * x)));
    case FloatActivation::kSilu:
      return x / (1 + expl(-x));
    case FloatActivation::kSigmoid:
      return 1 / (1 + expl(-x));
    case FloatActivation::kTanh:
      return tanhl(x);
    case FloatActivation::kHardswish:
      return x * fminl(fmaxl(x + 3, 0), 6) / 6;
    case FloatActivation::kHardsigmoid:
      return fminl(fmaxl(x + 3, 0), 6) / 6;
    case FloatActivation::kNone:
      break;
  }
  return x;
}

class ActivationTest : public testing::TestWithParam<FloatActivation> {};

INSTANTIATE_TEST_SUITE_P(All, ActivationTest,
                         testing::Values(FloatActivation::kNone, FloatActivation::kGelu,
                                         FloatActivation::kGeluTanh, FloatActivation::kSilu,
                                         FloatActivation::kSigmoid, FloatActivation::kTanh,
                                         FloatActivation::kHardswish,
                                         FloatActivation::kHardsigmoid));

// The factor of x has an error of 1 ulp of 1.
TEST_P(ActivationTest, IsTheFunction) {
  for (float magnitude = 1e-10f; magnitude < 100; magnitude *= 1.001f) {
    for (float x : {magnitude, -magnitude}) {
      const long double want = expected(GetParam(), x);
      const long double error = fabsl(activate<RealScalar>(GetParam(), x) - want);
      ASSERT_LE(error, 1.5e-7L * fminl(6, fabsl(x)) + 3e-7L * fabsl(want)) << x;
    }
  }
}

TEST_P(ActivationTest, FarAway) {
  const bool is_bounded = GetParam() == FloatActivation::kSigmoid ||
                          GetParam() == FloatActivation::kTanh ||
                          GetParam() == FloatActivation::kHardsigmoid;
  const float low = GetParam() == FloatActivation::kTanh ? -1.0f : 0.0f;
  for (float x : {200.0f, 1e10f, 1e30f, 3e38f}) {
    EXPECT_EQ(activate<RealScalar>(GetParam(), x), is_bounded ? 1.0f : x);
    if (GetParam() != FloatActivation::kNone) {
      EXPECT_NEAR(activate<RealScalar>(GetParam(), -x), low, 1e-30f);
    }
  }
  EXPECT_TRUE(std::isnan(activate<RealScalar>(GetParam(), kNan)));
  EXPECT_EQ(activate<RealScalar>(GetParam(), kInf), is_bounded ? 1.0f : kInf);
}

TEST(ExpTest, IsAccurate) {
  for (float x = -87.0f; x < 88.3f; x += 0.00137f) {
    const long double want = expl(x);
    ASSERT_LE(fabsl(Functions<RealScalar>::exp(x) - want), 2e-7L * want) << x;
  }
  EXPECT_EQ(Functions<RealScalar>::exp(0), 1.0f);
  EXPECT_EQ(Functions<RealScalar>::exp(kInf), kInf);
  EXPECT_LT(Functions<RealScalar>::exp(-kInf), 2e-38f);
}

}  // namespace
}  // namespace qnative
