#include "fp16/fp16.h"

#include <cmath>

#include "half.h"
#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::fp16 {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Halves of all kinds: ordinary numbers, all bits, and the ends of the range.
std::vector<uint16_t> halves(Random& random, int64_t n) {
  constexpr uint16_t kEnds[] = {0, 0x8000, 1, 0x8001, 0x3ff, 0x7bff, 0xfbff, 0x7c00, 0xfc00};
  std::vector<uint16_t> x(n);
  for (uint16_t& v : x) {
    const int kind = random.uniform(0, 15);
    v = kind == 0   ? kEnds[random.uniform(0, 8)]
        : kind == 1 ? random.uniform<uint16_t>(0, 0xffff)
                    : float_to_half(random.uniform(-8.0f, 8.0f));
  }
  return x;
}

std::vector<uint16_t> finite_halves(Random& random, int64_t n) {
  std::vector<uint16_t> x(n);
  for (uint16_t& v : x) v = float_to_half(random.uniform(-8.0f, 8.0f));
  return x;
}

std::vector<uint16_t> all_halves() {
  std::vector<uint16_t> x(65536);
  for (int i = 0; i < 65536; ++i) x[i] = static_cast<uint16_t>(i);
  return x;
}

uint16_t rounded(long double r) {
  return std::isnan(r) ? uint16_t{0x7e00} : float_to_half(static_cast<float>(r));
}

uint16_t clamped(long double r, float lo, float hi) {
  return std::isnan(r) ? rounded(r) : rounded(std::fmin(std::fmax(static_cast<float>(r), lo), hi));
}

// Distance of two halves in ulps; NaNs are equal.
int distance(uint16_t a, uint16_t b) {
  const auto place = [](uint16_t v) { return v & 0x8000 ? -(v & 0x7fff) : v & 0x7fff; };
  const auto is_nan = [](uint16_t v) { return (v & 0x7fff) > 0x7c00; };
  if (is_nan(a) || is_nan(b)) return is_nan(a) && is_nan(b) ? 0 : 65536;
  return std::abs(place(a) - place(b));
}

struct Bounds {
  float lo, hi;
};
constexpr Bounds kBounds[] = {{-kInfinity, kInfinity}, {0, kInfinity}, {0, 6}, {-1.5f, 2.3f}};

struct Binary {
  const char* name;
  std::span<const Kernel<BinaryFn>> kernels;
  long double (*expected)(long double a, long double b, long double alpha);
};
void PrintTo(const Binary& family, std::ostream* out) { *out << family.name; }

class Fp16Binary : public testing::TestWithParam<Binary> {};

TEST_P(Fp16Binary, EveryIsaGivesTheFormulaInEveryLength) {
  Random random(1);
  for (int64_t n : test::lengths()) {
    for (const auto& [lo, hi] : kBounds) {
      const BinaryArgs args{random.uniform(0, 1) ? 1.0f : random.uniform(-3.0f, 3.0f), lo, hi};
      const auto a = halves(random, n), b = halves(random, n);
      std::vector<uint16_t> expected(n);
      for (int64_t i = 0; i < n; ++i) {
        const auto r = GetParam().expected(half_to_float(a[i]), half_to_float(b[i]), args.alpha);
        expected[i] = clamped(r, lo, hi);
      }
      const PageGuarded<uint16_t> a_end(a, PageGuarded<uint16_t>::Side::kAfter);
      const PageGuarded<uint16_t> b_end(b, PageGuarded<uint16_t>::Side::kAfter);
      for (const auto& kernel : runnable(GetParam().kernels)) {
        Guarded<uint16_t> y(n, n % 5);
        kernel.run(args, a_end.data(), b_end.data(), y.data(), n);
        // -0 and 0 are one bound for fmax.
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_EQ(distance(y.data()[i], expected[i]), 0) << name(kernel.isa) << ", n " << n;
        }
        EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
        Guarded<uint16_t> scalar(n);
        GetParam().kernels.back().run(args, a.data(), b.data(), scalar.data(), n);
        EXPECT_TRUE(same_bits<uint16_t>(y.values(), scalar.values())) << name(kernel.isa);
        auto in_place = b;
        kernel.run(args, a.data(), in_place.data(), in_place.data(), n);
        EXPECT_TRUE(same_bits<uint16_t>(in_place, scalar.values())) << name(kernel.isa);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Fp16Binary,
    testing::Values(Binary{"add", add_kernels(),
                           [](auto a, auto b, auto alpha) { return a + b * alpha; }},
                    Binary{"mul", mul_kernels(), [](auto a, auto b, auto) { return a * b; }}),
    [](const auto& info) { return info.param.name; });

// floor(x / a), for numbers whose float64 quotient does not cross an integer.
long double floor_divided(long double x, long double a) {
  if (a == 0) return x / a;
  if (std::isinf(x)) return kNan;
  const long double floor = std::floor(x / a);
  return floor == 0 && !std::signbit(x) == !std::signbit(a) ? 0.0L : floor;
}

struct Unary {
  UnaryArgs args;
  long double (*expected)(const UnaryArgs& args, long double x);
  int steps;  // off the formula, at most
};

std::vector<Unary> functions() {
  const auto affine = [](const UnaryArgs& args, long double x) { return x * args.a + args.b; };
  const auto divided = [](const UnaryArgs& args, long double x) {
    return floor_divided(x, args.a);
  };
  std::vector<Unary> all;
  for (const auto& [a, b] : {std::pair{1.0f, 0.1f}, {1.7f, -0.0f}, {-3e5f, 7.0f}, {0.0f, 1e6f}}) {
    all.push_back({{Function::kAffine, FloatActivation::kNone, a, b, 0, 0}, affine, 0});
  }
  for (float a : {2.0f, -3.0f, 0.1f, 0.7f, -0.3f, 1e-3f, 1e5f, 1e-40f, 0.0f, -0.0f, 3e38f}) {
    all.push_back({{Function::kFloorDivide, FloatActivation::kNone, a, 0, 0, 0}, divided, 0});
  }
  const auto add = [&](FloatActivation activation, auto f, int steps) {
    all.push_back({{Function::kActivation, activation, 0, 0, 0, 0}, f, steps});
  };
  using Args = const UnaryArgs&;
  add(FloatActivation::kNone, [](Args, long double x) { return x; }, 0);
  add(FloatActivation::kSigmoid, [](Args, long double x) { return 1 / (1 + std::exp(-x)); }, 1);
  add(FloatActivation::kTanh, [](Args, long double x) { return std::tanh(x); }, 1);
  add(
      FloatActivation::kHardsigmoid,
      [](Args, long double x) {
        return std::isnan(x) ? x : std::fmin(std::fmax(x + 3, 0.0L), 6.0L) / 6;
      },
      1);
  return all;
}

TEST(Fp16Unary, EveryIsaGivesTheFormulaForAllHalves) {
  const std::vector<uint16_t> x = all_halves();
  for (const auto& [function, expected, steps] : functions()) {
    for (const auto& [lo, hi] : kBounds) {
      UnaryArgs args = function;
      args.lo = lo;
      args.hi = hi;
      Guarded<uint16_t> scalar(65536);
      unary_kernels().back().run(args, x.data(), scalar.data(), scalar.size());
      for (int i = 0; i < 65536; ++i) {
        const uint16_t want = clamped(expected(args, half_to_float(x[i])), lo, hi);
        ASSERT_LE(distance(scalar.data()[i], want), steps)
            << half_to_float(x[i]) << " gives " << half_to_float(scalar.data()[i]) << ", not "
            << half_to_float(want) << ", a " << args.a;
      }
      for (const auto& kernel : runnable(unary_kernels())) {
        Guarded<uint16_t> y(65536);
        kernel.run(args, x.data(), y.data(), y.size());
        ASSERT_TRUE(same_bits<uint16_t>(y.values(), scalar.values())) << name(kernel.isa);
      }
    }
  }
}

TEST(Fp16Unary, FloorsWhatRoundsUpToAnInteger) {
  // float(0.1) is more than 0.1, so that ten of them are more than 1 and 1 / 0.1 less than 10.
  UnaryArgs args{Function::kFloorDivide, FloatActivation::kNone, 0.1f, 0, -kInfinity, kInfinity};
  const uint16_t one = float_to_half(1);
  ASSERT_EQ(1.0f / args.a, 10.0f);
  for (const auto& kernel : runnable(unary_kernels())) {
    uint16_t y;
    kernel.run(args, &one, &y, 1);
    EXPECT_EQ(half_to_float(y), 9.0f);
  }
}

TEST(Fp16Unary, EveryLengthReadsAndWritesOnlyItsElements) {
  Random random(2);
  const UnaryArgs args{Function::kActivation, FloatActivation::kTanh, 0, 0, -0.5f, 0.75f};
  for (int64_t n : test::lengths()) {
    const auto x = halves(random, n);
    const PageGuarded<uint16_t> x_end(x, PageGuarded<uint16_t>::Side::kAfter);
    Guarded<uint16_t> scalar(n);
    unary_kernels().back().run(args, x.data(), scalar.data(), n);
    for (const auto& kernel : runnable(unary_kernels())) {
      Guarded<uint16_t> y(n, n % 5);
      kernel.run(args, x_end.data(), y.data(), n);
      EXPECT_TRUE(same_bits<uint16_t>(y.values(), scalar.values())) << name(kernel.isa);
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      auto in_place = x;
      kernel.run(args, in_place.data(), in_place.data(), n);
      EXPECT_TRUE(same_bits<uint16_t>(in_place, scalar.values())) << name(kernel.isa);
    }
  }
}

TEST(Fp16Softmax, EveryIsaGivesTheFormula) {
  Random random(3);
  for (int64_t n : test::lengths()) {
    if (n == 0) continue;
    for (const bool finite : {true, false}) {
      const auto x = finite ? finite_halves(random, n) : halves(random, n);
      long double most = -kInfinity, sum = 0;
      for (uint16_t v : x) most = std::fmax(most, half_to_float(v));
      for (uint16_t v : x) sum += std::exp(half_to_float(v) - most);
      const PageGuarded<uint16_t> x_end(x, PageGuarded<uint16_t>::Side::kAfter);
      Guarded<uint16_t> scalar(n);
      Guarded<float> scratch(n + kLanes);
      softmax_kernels().back().run(x.data(), scalar.data(), n, scratch.data());
      for (int64_t i = 0; i < n; ++i) {
        const long double want = std::exp(half_to_float(x[i]) - most) / sum;
        ASSERT_LE(distance(scalar.data()[i], rounded(want)), 1) << n << " at " << i;
      }
      for (const auto& kernel : runnable(softmax_kernels())) {
        Guarded<uint16_t> y(n, n % 5);
        kernel.run(x_end.data(), y.data(), n, scratch.data());
        EXPECT_TRUE(same_bits<uint16_t>(y.values(), scalar.values())) << name(kernel.isa) << n;
        EXPECT_TRUE(y.intact() && scratch.intact()) << name(kernel.isa) << ", n " << n;
      }
    }
  }
}

// Windows over a tensor of [planes][rows][columns][channels] halves with gaps, and without.
struct Case {
  pool::Window window;
  std::vector<uint16_t> x;
};

Case make_case(Random& random, int64_t channels, int64_t gap, bool finite) {
  pool::Window w{};
  w.channels = channels;
  w.planes = random.uniform(1, 3);
  w.rows = random.uniform(1, 4);
  w.columns = random.uniform(1, channels == 1 ? 70 : 5);
  w.outputs = random.uniform(1, 3);
  w.pixel_stride = 2 * (channels + gap);
  w.output_stride = 2 * w.pixel_stride;
  w.row_stride = w.pixel_stride * (w.columns + 5);
  w.plane_stride = w.row_stride * w.rows;
  const int64_t last = (w.planes - 1) * w.plane_stride + (w.rows - 1) * w.row_stride +
                       (w.columns - 1) * w.pixel_stride + (w.outputs - 1) * w.output_stride;
  const int64_t size = last / 2 + channels;
  return {w, finite ? finite_halves(random, size) : halves(random, size)};
}

template <class F>
void for_each_case(const F& f) {
  Random random(4);
  for (int64_t channels = 1; channels <= 40; ++channels) {
    for (int64_t gap : {0, 3}) {
      for (const bool finite : {true, false}) {
        for (int i = 0; i < 3; ++i) f(make_case(random, channels, gap, finite));
      }
    }
  }
}

// Calls f(value) for the taps of output o, channel c.
template <class F>
void for_taps(const Case& t, int64_t o, int64_t c, const F& f) {
  const pool::Window& w = t.window;
  for (int64_t p = 0; p < w.planes; ++p) {
    for (int64_t i = 0; i < w.rows; ++i) {
      for (int64_t j = 0; j < w.columns; ++j) {
        const int64_t at = o * w.output_stride + p * w.plane_stride + i * w.row_stride +
                           j * w.pixel_stride + 2 * c;
        f(half_to_float(t.x[at / 2]));
      }
    }
  }
}

template <class Fn, class Run, class Expected>
void check_windows(std::span<const Kernel<Fn>> kernels, const Run& run, const Expected& expected) {
  for_each_case([&](const Case& t) {
    const pool::Window& w = t.window;
    const int64_t n = w.outputs * w.channels;
    const PageGuarded<uint16_t> x(t.x, PageGuarded<uint16_t>::Side::kAfter);
    pool::Window window = w;
    window.x = reinterpret_cast<const uint8_t*>(x.data());
    std::vector<uint16_t> want(n);
    for (int64_t i = 0; i < n; ++i) want[i] = expected(t, i / w.channels, i % w.channels);
    for (const auto& kernel : runnable(kernels)) {
      Guarded<uint16_t> y(n, n % 5);
      run(*kernel.run, window, y.data());
      ASSERT_TRUE(y.intact()) << name(kernel.isa);
      ASSERT_TRUE(same_bits<uint16_t>(y.values(), want))
          << name(kernel.isa) << ", channels " << w.channels << ", columns " << w.columns;
    }
  });
}

TEST(Fp16Pool, MaxIsTheFormula) {
  check_windows<MaxFn>(
      max_kernels(), [](MaxFn& max, const pool::Window& w, uint16_t* y) { max(w, y); },
      [](const Case& t, int64_t o, int64_t c) {
        float most = -kInfinity;
        for_taps(t, o, c, [&](float v) { most = std::isnan(v) || v > most ? v : most; });
        return rounded(most);
      });
}

TEST(Fp16Pool, WindowsWithoutTaps) {
  const pool::Window w{.x = nullptr,
                       .row_stride = 0,
                       .pixel_stride = 2,
                       .rows = 0,
                       .columns = 1,
                       .channels = 19,
                       .outputs = 2};
  for (const auto& kernel : runnable(max_kernels())) {
    std::vector<uint16_t> y(38);
    kernel.run(w, y.data());
    EXPECT_EQ(y, std::vector<uint16_t>(38, 0xfc00)) << name(kernel.isa);
  }
}

TEST(Fp16Pool, MeanIsTheFormula) {
  for (const double divisor : {-7.0, 4.0, -1024.0}) {
    check_windows<MeanFn>(
        mean_kernels(),
        [&](MeanFn& mean, const pool::Window& w, uint16_t* y) { mean(w, divisor, y); },
        [&](const Case& t, int64_t o, int64_t c) {
          long double sum = 0;
          for_taps(t, o, c, [&](float v) { sum += v; });
          return rounded(static_cast<double>(sum) / divisor);
        });
  }
}

// The order matters if float64 cannot hold the sums exactly.
TEST(Fp16Pool, LongSumsAreInOneOrder) {
  Random random(5);
  constexpr int64_t kColumns = 300007;
  for (int64_t channels : {1, 2}) {
    std::vector<uint16_t> x(kColumns * channels);
    for (uint16_t& v : x) v = random.uniform(0, 9) ? 0x7bff : random.uniform<uint16_t>(0, 0x3ff);
    const pool::Window w{.x = reinterpret_cast<const uint8_t*>(x.data()),
                         .row_stride = 0,
                         .pixel_stride = 2 * channels,
                         .rows = 1,
                         .columns = kColumns,
                         .channels = channels};
    std::vector<uint16_t> expected(channels), y(channels);
    mean_kernels().back().run(w, 1e6, expected.data());
    for (const auto& kernel : runnable(mean_kernels())) {
      kernel.run(w, 1e6, y.data());
      EXPECT_TRUE(same_bits<uint16_t>(y, expected)) << name(kernel.isa);
    }
  }
}

}  // namespace
}  // namespace qnative::fp16
