#include <bit>
#include <limits>

#include "norm.h"

namespace qnative::norm {
namespace {

// exp(-x) for x >= 0: 2^-k * exp(r), |r| <= ln(2) / 2, exp(r) by its series.
double exp_minus(double x) {
  if (!(x < 700)) return 0;
  constexpr double kLog2E = 1.4426950408889634;
  // The low 21 bits of kLn2High are 0, so that k * kLn2High is exact.
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  const auto k = static_cast<int64_t>(x * kLog2E + 0.5);
  const double r = (static_cast<double>(k) * kLn2High - x) + static_cast<double>(k) * kLn2Low;
  double sum = 1;
  for (int i = 14; i > 0; --i) sum = sum * r / i + 1;
  return sum * std::bit_cast<double>((1023 - k) << 52);
}

}  // namespace

void make_exponentials(double scale, Exponentials& e) {
  const auto normal = [](double p) { return p < std::numeric_limits<float>::min() ? 0 : p; };
  double power[256];
  power[0] = 1;
  power[1] = normal(exp_minus(scale));
  // Short chains of products: fast, and few roundings.
  for (int k = 2; k < 256; ++k) power[k] = normal(power[k / 2] * power[k - k / 2]);
  for (int k = 0; k < 256; ++k) {
    const int i = 255 - k;
    e.value[i] = static_cast<float>(power[k]);
    e.fixed[i] = static_cast<uint32_t>(static_cast<int64_t>(power[k] * 0x1p31 + 0.5));
    for (int j = 0; j < 4; ++j) e.plane[j][i] = static_cast<uint8_t>(e.fixed[i] >> 8 * j);
  }
}

}  // namespace qnative::norm
