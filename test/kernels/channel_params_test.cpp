#include "channel_params/channel_params.h"

#include <cmath>
#include <limits>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::channel_params {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Result {
  std::vector<float> multiplier, bias;
  Summary summary;
};

Result expected(const std::vector<float>& scale, const std::vector<float>* bias, double x_scale,
                double y_scale) {
  Result r{.multiplier = {}, .bias = {}, .summary = {.valid = true, .small = true}};
  for (size_t i = 0; i < scale.size(); ++i) {
    const auto m = static_cast<float>(x_scale * static_cast<double>(scale[i]) / y_scale);
    const auto b =
        bias == nullptr ? 0.0f : static_cast<float>(static_cast<double>((*bias)[i]) / y_scale);
    if (!(scale[i] > 0) || !std::isfinite(m)) r.summary.valid = false;
    if (!(std::abs(m) <= kSmallMultiplier) || !(std::abs(b) <= kSmallBias)) r.summary.small = false;
    r.multiplier.push_back(m);
    r.bias.push_back(b);
  }
  return r;
}

void expect_all(const std::vector<float>& scale, const std::vector<float>* bias, double x_scale,
                double y_scale) {
  const auto n = static_cast<int64_t>(scale.size());
  const Result wanted = expected(scale, bias, x_scale, y_scale);
  const PageGuarded<float> scale_end(scale, PageGuarded<float>::Side::kAfter);
  const PageGuarded<float> bias_end(bias == nullptr ? scale : *bias,
                                    PageGuarded<float>::Side::kAfter);
  for (const auto& kernel : runnable(scale_kernels())) {
    Guarded<float> multiplier(n, n % 3), b(n, n % 5);
    const Summary summary = kernel.run({.weight_scale = scale_end.data(),
                                        .real_bias = bias == nullptr ? nullptr : bias_end.data(),
                                        .n = n,
                                        .x_scale = x_scale,
                                        .y_scale = y_scale,
                                        .multiplier = multiplier.data(),
                                        .bias = b.data()});
    const std::string where = std::string(name(kernel.isa)) + ", n " + std::to_string(n);
    EXPECT_TRUE(same_bits<float>(multiplier.values(), wanted.multiplier)) << where;
    EXPECT_TRUE(same_bits<float>(b.values(), wanted.bias)) << where;
    EXPECT_TRUE(multiplier.intact() && b.intact()) << where;
    EXPECT_EQ(summary.valid, wanted.summary.valid) << where;
    EXPECT_EQ(summary.small, wanted.summary.small) << where;
  }
}

TEST(ChannelParams, EveryLengthWithAndWithoutBias) {
  Random random(1);
  for (const int64_t n : test::lengths()) {
    const auto scale = random.vector<float>(n, 1e-6f, 1.0f);
    const auto bias = random.vector<float>(n, -50.0f, 50.0f);
    expect_all(scale, &bias, 0.037, 0.61);
    expect_all(scale, nullptr, 1.0, 1.0);
  }
}

// One value that changes the summary, at every position of vectors and tails.
TEST(ChannelParams, SummaryHeedsEveryChannel) {
  const std::vector<float> base(19, 0.1f);
  const float denormal = std::numeric_limits<float>::denorm_min();
  for (size_t at = 0; at < base.size(); ++at) {
    for (const float value : {0.0f, -0.0f, -1.0f, denormal, 0.25f, std::nextafter(0.25f, 1.0f),
                              3e38f, kInfinity, -kInfinity, std::nanf("")}) {
      std::vector<float> scale = base;
      scale[at] = value;
      expect_all(scale, nullptr, 1.0, 1.0);
      expect_all(scale, nullptr, 2.0, 0.5);
      std::vector<float> bias = base;
      bias[at] = value;
      expect_all(base, &bias, 1.0, 1e-9);
      expect_all(base, &bias, 1.0, 1.0);
    }
  }
}

}  // namespace
}  // namespace qnative::channel_params
