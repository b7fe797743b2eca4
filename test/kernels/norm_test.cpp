#include "norm/norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::norm {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Moments {
  int64_t sum = 7, squares = -5;  // what the kernels add to
  bool operator==(const Moments&) const = default;

  void add(int64_t v) {
    sum += v;
    squares += v * v;
  }
};

void PrintTo(const Moments& m, std::ostream* out) { *out << m.sum << ", " << m.squares; }

void expect_sums(const std::vector<uint8_t>& values) {
  const PageGuarded<uint8_t> x(values, PageGuarded<uint8_t>::Side::kAfter);
  for (uint8_t flip : {0, 0x80}) {
    Moments expected;
    for (uint8_t v : values) expected.add(v ^ flip);
    for (const auto& kernel : runnable(sum_kernels())) {
      Moments moments;
      kernel.run(x.data(), x.size(), flip, &moments.sum, &moments.squares);
      EXPECT_EQ(moments, expected) << name(kernel.isa) << ", n " << x.size() << ", flip " << +flip;
    }
  }
}

TEST(Sum, EveryIsaIsExactAtEveryLength) {
  Random random(1);
  for (int64_t n : test::lengths()) expect_sums(random.full_range<uint8_t>(n));
}

// Lengths at which words, and then int32, would overflow.
TEST(Sum, LongSumsAreExact) {
  for (uint8_t fill : {0xff, 0x7f, 0x80}) {
    for (int64_t n : {255 * 64, 257 * 64 + 1, 16384 * 64 + 33, 40000 * 64}) {
      expect_sums(std::vector<uint8_t>(n, fill));
    }
  }
}

void expect_column_sums(int64_t rows, int64_t n, int64_t gap, std::vector<uint8_t> values) {
  const int64_t stride = n + gap;
  values.resize(rows == 0 ? 0 : (rows - 1) * stride + n);
  const PageGuarded<uint8_t> x(values, PageGuarded<uint8_t>::Side::kAfter);
  for (uint8_t flip : {0, 0x80}) {
    std::vector<int64_t> sum(n, 7), squares(n, -5);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t v = values[row * stride + i] ^ flip;
        sum[i] += v;
        squares[i] += v * v;
      }
    }
    for (const auto& kernel : runnable(sum_columns_kernels())) {
      Guarded<int64_t> sums(n), all_squares(n);
      std::fill_n(sums.data(), n, 7);
      std::fill_n(all_squares.data(), n, -5);
      kernel.run(x.data(), rows, stride, n, flip, sums.data(), all_squares.data());
      EXPECT_TRUE(same_bits<int64_t>(sums.values(), sum)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(same_bits<int64_t>(all_squares.values(), squares)) << name(kernel.isa);
      EXPECT_TRUE(sums.intact() && all_squares.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

TEST(SumColumns, EveryIsaIsExactForEveryWidth) {
  Random random(2);
  for (int64_t n : test::lengths()) {
    for (int64_t rows : {0, 1, 2, 7}) {
      expect_column_sums(rows, n, n % 3, random.full_range<uint8_t>(rows * (n + 2)));
    }
  }
}

TEST(SumColumns, LongSumsAreExact) {
  for (int64_t rows : {257, 16385, 40001}) {
    expect_column_sums(rows, 5, 0, std::vector<uint8_t>(rows * 5, 0xff));
  }
}

TEST(SumWords, EveryIsaIsExactAtEveryLength) {
  Random random(8);
  const auto expect_sums = [](const std::vector<int16_t>& values) {
    const PageGuarded<int16_t> x(values, PageGuarded<int16_t>::Side::kAfter);
    Moments expected;
    for (int16_t v : values) expected.add(v);
    for (const auto& kernel : runnable(sum_words_kernels())) {
      Moments moments;
      kernel.run(x.data(), x.size(), &moments.sum, &moments.squares);
      EXPECT_EQ(moments, expected) << name(kernel.isa) << ", n " << x.size();
    }
  };
  for (int64_t n : test::lengths()) expect_sums(random.full_range<int16_t>(n));
  // Lengths at which int32 would overflow.
  for (int16_t fill : {-32768, 32767, -1}) {
    for (int64_t n : {16 * 16384, 32 * 16384 + 7, 1 << 21}) {
      expect_sums(std::vector<int16_t>(n, fill));
    }
  }
}

// Zero points and outputs of every kind.
std::vector<Args> cases() {
  Random random(3);
  std::vector<Args> all;
  for (int32_t zero_point : {0, 128, 255, 77}) {
    for (uint8_t flip : {0, 0x80}) {
      all.push_back({zero_point, flip, {random.uniform(0, 255), 0, 255, flip}});
      all.push_back({zero_point, flip, {128, 100, 140, static_cast<uint8_t>(flip ^ 0x80)}});
    }
  }
  return all;
}

float value(const Args& args, uint8_t x) {
  return static_cast<float>((x ^ args.x_flip) - args.x_zero_point);
}

// One rounding, as in the formula.
float fma_of(float a, float b, float c) {
  return static_cast<float>(static_cast<long double>(a) * b + c);
}

uint8_t expected_output(float r, const Requantize& q) {
  if (std::isnan(r)) return static_cast<uint8_t>(q.hi) ^ q.flip;
  const double y = std::nearbyint(double{r}) + q.zero_point;
  return static_cast<uint8_t>(std::clamp<double>(y, q.lo, q.hi)) ^ q.flip;
}

// Constants of ordinary layers, then those whose results do not fit in int32.
std::vector<float> constants(Random& random, int64_t n) {
  const float extremes[] = {0, 1, -1, 1e-40f, 3e9f, -3e9f, 1e38f, -1e38f, 0.5f};
  std::vector<float> values(n);
  for (float& v : values) {
    const auto i = random.uniform<int>(0, 35);
    v = i < 9 ? extremes[i] : random.uniform(-3.0f, 3.0f);
  }
  return values;
}

// Checks that run(kernel, args, x, y) gives expected(args, x[i], i), for each kernel and length.
template <class Fn, class Run, class Expected>
void expect_formula(std::span<const Kernel<Fn>> kernels, const Run& run,
                    const Expected& expected_r) {
  Random random(4);
  const auto all = cases();
  for (int64_t n : test::lengths()) {
    const Args& args = all[n % all.size()];
    const auto values = random.full_range<uint8_t>(n);
    const PageGuarded<uint8_t> x(values, PageGuarded<uint8_t>::Side::kAfter);
    std::vector<uint8_t> expected(n);
    for (int64_t i = 0; i < n; ++i) {
      expected[i] = expected_output(expected_r(value(args, values[i]), i), args.requantize);
    }
    for (const auto& kernel : runnable(kernels)) {
      Guarded<uint8_t> y(n, n % 5);
      run(kernel.run, args, x.data(), y.data(), n);
      EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      auto in_place = values;
      run(kernel.run, args, in_place.data(), in_place.data(), n);
      EXPECT_TRUE(same_bits<uint8_t>(in_place, expected)) << name(kernel.isa) << ", n " << n;
    }
  }
}

class Constants : public testing::TestWithParam<std::pair<float, float>> {};

TEST_P(Constants, ScaleIsTheFormula) {
  const auto [scale, shift] = GetParam();
  expect_formula(
      scale_kernels(), [&](ScaleFn* run, auto... args) { run(args..., scale, shift); },
      [&](float v, int64_t) { return fma_of(v, scale, shift); });
}

INSTANTIATE_TEST_SUITE_P(All, Constants,
                         testing::Values(std::pair(1.0f, 0.0f), std::pair(0.37f, -11.5f),
                                         std::pair(-1.3f, 100.25f), std::pair(1e-40f, 1e-40f),
                                         std::pair(1e38f, -1e38f), std::pair(kInfinity, 0.0f),
                                         std::pair(0.5f, kNan), std::pair(0.5f, 0.5f)));

TEST(ScaleEach, EveryIsaGivesTheFormula) {
  Random random(5);
  const auto scale = constants(random, 1000), shift = constants(random, 1000);
  expect_formula(
      scale_each_kernels(),
      [&](ScaleEachFn* run, const Args& args, const uint8_t* x, uint8_t* y, int64_t n) {
        const PageGuarded<float> scales(std::span<const float>(scale).first(n),
                                        PageGuarded<float>::Side::kAfter);
        run(args, x, y, n, scales.data(), shift.data());
      },
      [&](float v, int64_t i) { return fma_of(v, scale[i], shift[i]); });
}

TEST(Affine, EveryIsaGivesTheFormula) {
  Random random(6);
  const auto weight = constants(random, 1000), bias = constants(random, 1000);
  const Affine affine{0.021f, -0.77f, weight.data(), bias.data()};
  const auto expected = [&](float v, int64_t i) {
    return fma_of(fma_of(v, affine.scale, affine.shift), weight[i], bias[i]);
  };
  expect_formula(
      affine_kernels(), [&](AffineFn* run, auto... args) { run(args..., affine); }, expected);
  const Args args{77, 0x80, {}};
  for (int64_t n : test::lengths()) {
    const auto x = random.full_range<uint8_t>(n);
    std::vector<float> wanted(n);
    for (int64_t i = 0; i < n; ++i) wanted[i] = expected(value(args, x[i]), i);
    for (const auto& kernel : runnable(affine_float_kernels())) {
      Guarded<float> y(n, n % 5);
      kernel.run(args, x.data(), y.data(), n, affine);
      EXPECT_TRUE(same_bits<float>(y.values(), wanted)) << name(kernel.isa) << ", n " << n;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
    }
  }
}

// From bytes and int16 to bytes, int16 and floats.
TEST(Words, ScaleAndAffineAreTheFormula) {
  Random random(9);
  const auto weight = constants(random, 1000), bias = constants(random, 1000);
  const Affine affine{0.021f, -0.77f, weight.data(), bias.data()};
  const auto all = cases();
  for (int64_t n : test::lengths()) {
    const auto bytes = random.full_range<uint8_t>(n);
    const auto words = random.full_range<int16_t>(n);
    const PageGuarded<uint8_t> byte_x(bytes, PageGuarded<uint8_t>::Side::kAfter);
    const PageGuarded<int16_t> word_x(words, PageGuarded<int16_t>::Side::kAfter);
    for (int mix = 1; mix < 4; ++mix) {
      Args args = all[(n + mix) % all.size()];
      args.x_is_word = (mix & 1) != 0;
      args.y_is_word = (mix & 2) != 0;
      if (args.y_is_word) args.requantize = {0, n % 2 ? -32768 : -30, n % 3 ? 32767 : 500, 0};
      const void* const x =
          args.x_is_word ? static_cast<const void*>(word_x.data()) : byte_x.data();
      std::vector<float> scaled(n), affine_of(n);
      for (int64_t i = 0; i < n; ++i) {
        const float v = args.x_is_word ? static_cast<float>(words[i]) : value(args, bytes[i]);
        scaled[i] = fma_of(v, 0.37f, -11.5f);
        affine_of[i] = fma_of(fma_of(v, affine.scale, affine.shift), weight[i], bias[i]);
      }
      const auto expect = [&](const std::vector<float>& r, const char* isa, const auto& run) {
        Guarded<int16_t> y_words(n, n % 5);
        Guarded<uint8_t> y_bytes(n, n % 5);
        run(args.y_is_word ? static_cast<void*>(y_words.data()) : y_bytes.data());
        for (int64_t i = 0; i < n; ++i) {
          const Requantize& q = args.requantize;
          const double rounded = std::isnan(r[i]) ? q.hi : std::nearbyint(double{r[i]});
          const int32_t word = static_cast<int32_t>(std::clamp<double>(rounded, q.lo, q.hi));
          const int32_t wanted = args.y_is_word ? word : expected_output(r[i], q);
          const int32_t got = args.y_is_word ? y_words.values()[i] : y_bytes.values()[i];
          ASSERT_EQ(got, wanted) << isa << ", n " << n << ", i " << i << ", mix " << mix;
        }
        EXPECT_TRUE(y_words.intact() && y_bytes.intact()) << isa << ", n " << n;
      };
      for (const auto& kernel : runnable(scale_kernels())) {
        expect(scaled, name(kernel.isa),
               [&](void* y) { kernel.run(args, x, y, n, 0.37f, -11.5f); });
      }
      for (const auto& kernel : runnable(affine_kernels())) {
        expect(affine_of, name(kernel.isa), [&](void* y) { kernel.run(args, x, y, n, affine); });
      }
      for (const auto& kernel : runnable(affine_float_kernels())) {
        Guarded<float> y(n, n % 5);
        kernel.run(args, x, y.data(), n, affine);
        EXPECT_TRUE(same_bits<float>(y.values(), affine_of)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", n " << n;
      }
    }
  }
}

TEST(Prelu, EveryIsaGivesTheFormula) {
  Random random(7);
  const auto negative = constants(random, 1000);
  for (float positive : {0.7f, 1e38f, 1e-40f}) {
    expect_formula(
        prelu_kernels(),
        [&](PreluFn* run, auto... args) { run(args..., positive, negative.data()); },
        [&](float v, int64_t i) { return v * (v < 0 ? negative[i] : positive); });
  }
}

const double kScales[] = {1e-30, 1e-3, 0.02, 0.1, 0.34, 1, 5.5, 90, 699.9, 1e4, 3e38};

TEST(Exponentials, AreThoseOfLibm) {
  for (double scale : kScales) {
    Exponentials e;
    make_exponentials(scale, e);
    for (int k = 0; k < 256; ++k) {
      const double exact = std::exp(-k * scale);
      const int i = 255 - k;
      const double least = std::numeric_limits<float>::min();
      if (exact > least * 1.001) {
        EXPECT_NEAR(e.value[i] / exact, 1, 0x1p-24) << scale << " " << k;
      } else if (exact < least * 0.999) {
        EXPECT_EQ(e.value[i], 0) << scale << " " << k;
      }
      EXPECT_NEAR(e.fixed[i], exact * 0x1p31, 0.50001) << scale << " " << k;
      uint32_t fixed = 0;
      for (int j = 0; j < 4; ++j) fixed |= uint32_t{e.plane[j][i]} << 8 * j;
      EXPECT_EQ(fixed, e.fixed[i]);
    }
  }
}

TEST(Exponentials, EveryIsaSumsThemExactly) {
  Random random(8);
  for (double scale : kScales) {
    Exponentials e;
    make_exponentials(scale, e);
    for (int64_t n : test::lengths()) {
      if (n == 0) continue;
      const auto values = random.full_range<uint8_t>(n);
      const PageGuarded<uint8_t> x(values, PageGuarded<uint8_t>::Side::kAfter);
      for (uint8_t flip : {0, 0x80}) {
        uint8_t most = 0;
        for (uint8_t v : values) most = std::max<uint8_t>(most, v ^ flip);
        int64_t sum = 0;
        for (uint8_t v : values) sum += e.fixed[255 - most + (v ^ flip)];
        for (const auto& kernel : runnable(largest_kernels())) {
          EXPECT_EQ(kernel.run(x.data(), n, flip), most) << name(kernel.isa) << ", n " << n;
        }
        for (const auto& kernel : runnable(sum_exponentials_kernels())) {
          EXPECT_EQ(kernel.run(e, x.data(), n, flip, most), sum)
              << name(kernel.isa) << ", n " << n << ", scale " << scale;
        }
        for (const auto& kernel : runnable(exponentials_kernels())) {
          Guarded<float> y(n);
          kernel.run(e, x.data(), y.data(), n, flip, most, 0.25f);
          for (int64_t i = 0; i < n; ++i) {
            EXPECT_EQ(y.data()[i], e.value[255 - most + (values[i] ^ flip)] / 4);
          }
          EXPECT_TRUE(y.intact());
        }
      }
    }
  }
}

// Values below the largest one.
TEST(Largest, OfSmallValues) {
  Random random(9);
  for (int64_t n = 1; n < 200; ++n) {
    const auto values = random.vector<uint8_t>(n, 0, 9);
    const uint8_t most = *std::max_element(values.begin(), values.end());
    for (const auto& kernel : runnable(largest_kernels())) {
      EXPECT_EQ(kernel.run(values.data(), n, 0), most) << name(kernel.isa) << ", n " << n;
    }
  }
}

}  // namespace
}  // namespace qnative::norm
