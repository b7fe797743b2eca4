#include "elementwise/elementwise.h"

#include <cmath>
#include <string_view>
#include <utility>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::elementwise {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Multipliers of ordinary layers, then those whose results do not fit in int32.
std::vector<Args> cases() {
  Random random(1);
  const auto zero_point = [&] {
    const int32_t ends[] = {0, 128, 255};
    const auto i = random.uniform<int>(0, 3);
    return i < 3 ? ends[i] : random.uniform<int32_t>(0, 255);
  };
  std::vector<std::pair<float, float>> multipliers = {
      {1.0f, 1.0f}, {0.5f, 0.5f},        {0.25f, -0.75f},  {1e-3f, 2e-3f},  {1e-40f, 1e-40f},
      {0, 0},       {1e9f, 1e9f},        {-3e9f, 1e-3f},   {1e38f, -1e38f}, {kInfinity, 1},
      {1, kNan},    {kInfinity, -1e38f}, {3e38f, 3.4e38f}, {3e7f, 3e7f}};
  for (int i = 0; i < 16; ++i) {
    const auto draw = [&] { return std::exp2(random.uniform(-12.0f, 3.0f)); };
    multipliers.emplace_back(draw(), draw());
  }
  std::vector<Args> args;
  for (auto [a, b] : multipliers) {
    const int32_t lo = random.uniform(0, 1) ? 0 : random.uniform<int32_t>(0, 255);
    const int32_t hi = random.uniform(0, 1) ? 255 : random.uniform<int32_t>(lo, 255);
    const auto flip = [&] { return static_cast<uint8_t>(random.uniform(0, 1) * 0x80); };
    args.push_back({.a_zero_point = zero_point(),
                    .b_zero_point = zero_point(),
                    .a_multiplier = a,
                    .b_multiplier = b,
                    .a_flip = flip(),
                    .b_flip = flip(),
                    .requantize = {zero_point(), lo, hi, flip()}});
  }
  return args;
}

// The contract independently: exact arithmetic, rounded where the formula rounds.
uint8_t expected_output(long double r, const Requantize& q) {
  if (std::isnan(r)) return static_cast<uint8_t>(q.hi) ^ q.flip;
  const long double y = std::nearbyint(r) + q.zero_point;
  const long double clamped = std::fmin(std::fmax(y, q.lo), q.hi);
  return static_cast<uint8_t>(clamped) ^ q.flip;
}

uint8_t expected_add(const Args& args, uint8_t a, uint8_t b) {
  const long double x = (a ^ args.a_flip) - args.a_zero_point;
  const long double y = (b ^ args.b_flip) - args.b_zero_point;
  const float second = static_cast<float>(y * args.b_multiplier);
  return expected_output(static_cast<float>(x * args.a_multiplier + second), args.requantize);
}

uint8_t expected_mul(const Args& args, uint8_t a, uint8_t b) {
  const long double x = (a ^ args.a_flip) - args.a_zero_point;
  const long double y = (b ^ args.b_flip) - args.b_zero_point;
  return expected_output(static_cast<float>(x * y * args.a_multiplier), args.requantize);
}

struct Family {
  const char* name;
  std::span<const Kernel<Fn>> kernels;
  uint8_t (*expected)(const Args&, uint8_t, uint8_t);
};

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

class Elementwise : public testing::TestWithParam<Family> {};

TEST_P(Elementwise, EveryIsaGivesTheFormulaForAllPairs) {
  std::vector<uint8_t> a(65536), b(65536), expected(65536);
  for (int i = 0; i < 65536; ++i) {
    a[i] = static_cast<uint8_t>(i);
    b[i] = static_cast<uint8_t>(i >> 8);
  }
  for (const Args& args : cases()) {
    for (int i = 0; i < 65536; ++i) expected[i] = GetParam().expected(args, a[i], b[i]);
    for (const auto& kernel : runnable(GetParam().kernels)) {
      Guarded<uint8_t> y(65536);
      kernel.run(args, a.data(), b.data(), y.data(), y.size());
      ASSERT_TRUE(same_bits<uint8_t>(y.values(), expected))
          << name(kernel.isa) << ", multipliers " << args.a_multiplier << " " << args.b_multiplier;
    }
  }
}

TEST_P(Elementwise, EveryLengthAndAlignmentReadsAndWritesOnlyItsElements) {
  Random random(2);
  const std::vector<Args> all = cases();
  for (int64_t n : test::lengths()) {
    const Args& args = all[n % all.size()];
    const auto a = random.full_range<uint8_t>(n), b = random.full_range<uint8_t>(n);
    std::vector<uint8_t> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = GetParam().expected(args, a[i], b[i]);
    const PageGuarded<uint8_t> a_end(a, PageGuarded<uint8_t>::Side::kAfter);
    const PageGuarded<uint8_t> b_end(b, PageGuarded<uint8_t>::Side::kAfter);
    for (const auto& kernel : runnable(GetParam().kernels)) {
      Guarded<uint8_t> y(n, n % 5);
      kernel.run(args, a_end.data(), b_end.data(), y.data(), n);
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

TEST_P(Elementwise, OutputMayBeAnInput) {
  Random random(3);
  const Args args = cases()[0];
  for (int64_t n : test::lengths()) {
    const auto a = random.full_range<uint8_t>(n), b = random.full_range<uint8_t>(n);
    std::vector<uint8_t> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = GetParam().expected(args, a[i], b[i]);
    for (const auto& kernel : runnable(GetParam().kernels)) {
      auto y = a;
      kernel.run(args, y.data(), b.data(), y.data(), n);
      EXPECT_TRUE(same_bits<uint8_t>(y, expected)) << name(kernel.isa) << ", y = a, n " << n;
      y = b;
      kernel.run(args, a.data(), y.data(), y.data(), n);
      EXPECT_TRUE(same_bits<uint8_t>(y, expected)) << name(kernel.isa) << ", y = b, n " << n;
    }
  }
}

// Numbers of a tensor of bytes or of int16, beside an unreadable page.
class Numbers {
 public:
  Numbers(Random& random, int64_t n, bool is_word)
      : bytes_(random.full_range<uint8_t>(is_word ? 0 : n), PageGuarded<uint8_t>::Side::kAfter),
        words_(random.full_range<int16_t>(is_word ? n : 0), PageGuarded<int16_t>::Side::kAfter),
        is_word_(is_word) {}

  const void* data() const {
    return is_word_ ? static_cast<const void*>(words_.data()) : bytes_.data();
  }
  long double value(int64_t i, uint8_t flip, int32_t zero_point) const {
    return is_word_ ? words_.data()[i] : (bytes_.data()[i] ^ flip) - zero_point;
  }

 private:
  PageGuarded<uint8_t> bytes_;
  PageGuarded<int16_t> words_;
  bool is_word_;
};

template <class T>
void expect_mixed(const Family& family, const Args& args, const Numbers& a, const Numbers& b,
                  int64_t n) {
  const bool is_add = std::string_view(family.name) == "add";
  std::vector<T> expected(n);
  for (int64_t i = 0; i < n; ++i) {
    const long double x = a.value(i, args.a_flip, args.a_zero_point);
    const long double y = b.value(i, args.b_flip, args.b_zero_point);
    const auto second = static_cast<float>(is_add ? y * args.b_multiplier : x * y);
    const auto r =
        static_cast<float>(is_add ? x * args.a_multiplier + second
                                  : second * static_cast<long double>(args.a_multiplier));
    const Requantize& q = args.requantize;
    const long double clamped =
        std::isnan(r)
            ? q.hi
            : std::fmin(std::fmax(std::nearbyint(static_cast<long double>(r)) + q.zero_point, q.lo),
                        q.hi);
    expected[i] = args.y_is_word ? static_cast<T>(clamped)
                                 : static_cast<T>(static_cast<uint8_t>(clamped) ^ q.flip);
  }
  for (const auto& kernel : runnable(family.kernels)) {
    Guarded<T> y(n, n % 5);
    kernel.run(args, a.data(), b.data(), y.data(), n);
    EXPECT_TRUE(same_bits<T>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
    EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
  }
}

// Every mix of bytes and int16.
TEST_P(Elementwise, Int16EqualsTheFormula) {
  Random random(4);
  const std::vector<Args> all = cases();
  for (int64_t n : test::lengths()) {
    for (int mix = 1; mix < 8; ++mix) {
      Args args = all[(n + mix) % all.size()];
      args.a_is_word = (mix & 1) != 0;
      args.b_is_word = (mix & 2) != 0;
      args.y_is_word = (mix & 4) != 0;
      const Numbers a(random, n, args.a_is_word), b(random, n, args.b_is_word);
      if (args.y_is_word) {
        args.requantize = {0, n % 2 ? -32768 : -300, n % 3 ? 32767 : 500, 0};
        expect_mixed<int16_t>(GetParam(), args, a, b, n);
      } else {
        expect_mixed<uint8_t>(GetParam(), args, a, b, n);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Elementwise,
                         testing::Values(Family{"add", add_kernels(), expected_add},
                                         Family{"mul", mul_kernels(), expected_mul}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qnative::elementwise
