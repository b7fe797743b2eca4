#include "gemm_problem.h"

namespace qnative::gemm {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class GemmTest : public testing::TestWithParam<Kernel<Fn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, GemmTest, testing::ValuesIn(tested_kernels()), name_of);

const std::vector<int64_t> kM = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 31, 33, 49};
const std::vector<int64_t> kN = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12,  13,  14,  15,
                                 16, 17, 18, 23, 24, 25, 31, 32, 33, 40,  47,  48,  49,  56,  57,
                                 63, 64, 65, 72, 80, 85, 88, 96, 98, 100, 112, 120, 127, 128, 129};
const std::vector<int64_t> kSize = {1,  2,  3,  4,  5,  6,  7,  8,  9,   15,
                                    16, 17, 27, 31, 32, 33, 64, 67, 255, 576};

TEST_P(GemmTest, RowsByColumns) {
  for (int64_t m : kM) {
    for (int64_t n : kN) {
      for (int64_t size : {9 + (m + n) % 8, 33 + (m + n) % 8}) {
        const Shape shape = {m, n, 1, size};
        expect_equals_scalar(GetParam(), Problem(shape, Rows::kStrided, m * 1000 + n));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmTest, RowsBySize) {
  for (int64_t m : kM) {
    for (int64_t size : kSize) {
      const Shape shape = {m, 1 + (m * 7 + size) % 70, 1, size};
      expect_equals_scalar(GetParam(), Problem(shape, Rows::kDense, m * 1000 + size));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTest, SegmentsBySize) {
  for (int64_t segments = 1; segments <= 9; ++segments) {
    for (int64_t size : kSize) {
      for (int64_t m : {1, 7, 14}) {
        const Shape shape = {m, 1 + (segments * 31 + size * 3 + m) % 67, segments, size};
        expect_equals_scalar(GetParam(),
                             Problem(shape, Rows::kOverlapping, segments * 1000 + size));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmTest, RandomShapes) {
  Random random(7);
  for (int trial = 0; trial < 300; ++trial) {
    const Shape shape = {random.uniform<int64_t>(1, 60), random.uniform<int64_t>(1, 140),
                         random.uniform<int64_t>(1, 4), random.uniform<int64_t>(1, 80)};
    expect_equals_scalar(GetParam(), Problem(shape, static_cast<Rows>(trial % 3), trial));
    if (HasFatalFailure()) return;
  }
}

// More rows than one cache block of any implementation holds.
TEST_P(GemmTest, ManyRowsOfLargeK) {
  for (const Shape& shape :
       {Shape{131, 17, 1, 4096}, Shape{100, 33, 3, 1365}, Shape{4100, 16, 1, 96}}) {
    expect_equals_scalar(GetParam(), Problem(shape, Rows::kDense, 11));
    if (HasFatalFailure()) return;
  }
}

TEST_P(GemmTest, RowParameters) {
  for (int64_t m : kM) {
    for (int64_t n : {1, 8, 15, 16, 17, 24, 33, 40, 48, 56, 64, 100, 130}) {
      Problem problem({m, n, 1, 4 + (m * 5 + n) % 90}, Rows::kDense, m * 1000 + n);
      problem.add_row_parameters();
      expect_equals_scalar(GetParam(), problem);
      expect_equals_scalar<float>(GetParam(), problem, {m / 2, m, n / 32 * 16, n});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTest, PanelsOfLongerSegments) {
  for (int64_t m : {1, 2, 5, 16, 33}) {
    for (int64_t n : {1, 8, 16, 24, 33, 64, 130}) {
      for (int64_t size : {4, 32, 64, 132}) {
        Problem problem({m, n, 1, size}, Rows::kStrided, m * 1000 + n);
        problem.add_row_parameters();
        problem.lengthen(size + 4 * (n % 7));
        expect_equals_scalar(GetParam(), problem);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmTest, RowParametersWrapAndKeepNan) {
  Problem problem({7, 70, 1, 33}, Rows::kDense, 5);
  problem.add_row_parameters();
  problem.row_factor_[3] = std::numeric_limits<int32_t>::min();
  problem.column_factor_[9] = std::numeric_limits<int32_t>::max();
  problem.row_multiplier_ = {kNan, kInf, 0.0f, -0.0f, 1e38f, std::numeric_limits<float>::min(), 1};
  expect_equals_scalar(GetParam(), problem);
}

// Without products r is the bias: every activation over every magnitude.
TEST_P(GemmTest, Activations) {
  Problem problem({1, 60000, 1, 0}, Rows::kDense, 5);
  std::fill(problem.start_.begin(), problem.start_.end(), 0);
  for (float& bias : problem.bias_) {
    const float magnitude = std::exp2(problem.random_.uniform(-30.0f, 8.0f));
    bias = problem.random_.uniform(0, 1) ? magnitude : -magnitude;
  }
  const float special[] = {0.0f, -0.0f, kInf, -kInf, kNan, 3e38f, -3e38f, 1e-42f, 0.625f, 3.0f};
  std::copy(std::begin(special), std::end(special), problem.bias_.begin());
  for (int i = 1; i <= static_cast<int>(FloatActivation::kHardsigmoid); ++i) {
    problem.activation_ = static_cast<FloatActivation>(i);
    expect_equals_scalar<float>(GetParam(), problem, {0, 1, 0, 60000});
    if (HasFatalFailure()) return;
  }
}

TEST_P(GemmTest, PartialRangesWriteNothingElse) {
  const Problem problem({50, 130, 2, 21}, Rows::kOverlapping, 3);
  for (const auto& [m_begin, m_end] : {std::pair{0, 50}, {0, 1}, {7, 8}, {13, 37}, {49, 50}}) {
    for (const auto& [n_begin, n_end] : {std::pair{0, 16},
                                         {16, 17},
                                         {16, 80},
                                         {48, 111},
                                         {64, 1000},
                                         {112, 130},
                                         {128, 130},
                                         {0, 64}}) {
      const Range range = {m_begin, m_end, n_begin, n_end};
      expect_equals_scalar<uint8_t>(GetParam(), problem, range);
      expect_equals_scalar<int16_t>(GetParam(), problem, range);
      expect_equals_scalar<float>(GetParam(), problem, range);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTest, EmptyRangesWriteNothing) {
  const Problem problem({4, 20, 1, 8}, Rows::kDense, 3);
  for (const Range& range : {Range{2, 2, 0, 20}, Range{0, 4, 16, 16}, Range{0, 4, 32, 48}}) {
    Guarded<uint8_t> y(problem.y_size());
    const Args args = problem.args(y.data());
    Scratch scratch(scratch_size(args));
    GetParam().run(args, range.m_begin, range.m_end, range.n_begin, range.n_end, scratch.data());
    for (uint8_t value : y.values()) EXPECT_EQ(value, y.kPoison);
    EXPECT_TRUE(y.intact());
  }
}

// No segments, or empty ones: y depends on start alone.
TEST_P(GemmTest, NothingToSum) {
  expect_equals_scalar(GetParam(), Problem({9, 70, 1, 0}, Rows::kDense, 3));
  expect_equals_scalar(GetParam(), Problem({9, 20, 3, 0}, Rows::kDense, 3));
}

// The largest products of either sign, and start at its extremes.
TEST_P(GemmTest, ExtremeOperandsNeverSaturate) {
  for (const Shape& shape : {Shape{13, 65, 1, 576}, Shape{6, 33, 9, 255}, Shape{1, 64, 1, 60000}}) {
    for (int weight : {-128, 127}) {
      for (int zero_point : {0, 128, 255}) {
        Problem problem(shape, Rows::kDense, 5);
        problem.fill_x(255);
        std::fill(problem.weight_.begin(), problem.weight_.end(), static_cast<int8_t>(weight));
        problem.repack();
        const int64_t sum = shape.segments * shape.segment_size * weight;
        std::fill(problem.start_.begin(), problem.start_.end(),
                  static_cast<int32_t>(-zero_point * sum));
        std::fill(problem.multiplier_.begin(), problem.multiplier_.end(), 100.0f / (255.0f * sum));
        ASSERT_EQ(problem.accumulator(0, 0, false), (255 - zero_point) * sum);
        expect_equals_scalar(GetParam(), problem);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Pairs of weights whose products with 255 just fit in int16, or just do not: an ISA may add the
// former as int16. `beyond` of 100 pairs do not fit.
void expect_pairs_never_saturate(const Kernel<Fn>& kernel, const Shape& shape, Rows rows,
                                 int beyond) {
  constexpr std::pair<int, int> kWithin[] = {{64, 64},   {127, 0},    {127, -128}, {-64, -64},
                                             {-128, 0},  {0, 127},    {-1, -127},  {1, 126},
                                             {-128, 64}, {-100, 100}, {3, -5},     {100, 27}};
  constexpr std::pair<int, int> kBeyond[] = {{64, 65},   {127, 1},  {127, 2},    {-65, -64},
                                             {-128, -1}, {65, 64},  {127, 127},  {-128, -128},
                                             {-127, -2}, {100, 29}, {-100, -29}, {2, 127}};
  Problem problem(shape, rows, 17 + beyond);
  const int64_t size = shape.segment_size;
  for (int64_t at = 0; at < std::ssize(problem.weight_); at += size) {
    for (int64_t k = 0; k < size; k += 2) {
      const bool is_beyond = problem.random_.uniform(1, 100) <= beyond;
      const auto& pairs = is_beyond ? kBeyond : kWithin;
      const auto [first, second] = pairs[problem.random_.uniform(0, 11)];
      problem.weight_[at + k] = static_cast<int8_t>(first);
      if (k + 1 < size) problem.weight_[at + k + 1] = static_cast<int8_t>(second);
    }
  }
  problem.repack();
  expect_equals_scalar(kernel, problem);
  problem.fill_x(255);
  expect_equals_scalar(kernel, problem);
}

TEST_P(GemmTest, PairsNeverSaturate) {
  for (int64_t m : {1, 2, 3, 5, 6, 7, 13, 23, 24, 31, 49}) {
    for (int beyond : {0, 1, 5, 100}) {
      const int64_t n = 1 + (m * 7 + beyond) % 50;
      expect_pairs_never_saturate(GetParam(), {m, n, 1, 1 + (m * 13) % 90}, Rows::kStrided, beyond);
      expect_pairs_never_saturate(GetParam(), {m, n, 3, 29}, Rows::kOverlapping, beyond);
      if (HasFatalFailure()) return;
    }
  }
}

// Merged groups: an output channel reads only some of the input channels.
TEST_P(GemmTest, ZeroBlocks) {
  for (int64_t m : {1, 2, 5, 13, 40}) {
    for (int64_t channels : {2, 4, 8}) {
      for (int64_t n : {4, 8, 12, 16, 21, 32}) {
        Problem problem({m, n, 3, 32}, Rows::kOverlapping, m * 100 + channels + n);
        for (int64_t i = 0; i < std::ssize(problem.weight_); ++i) {
          const int64_t column = i / (3 * 32), k = i % 32;
          if (k / channels != column / channels) problem.weight_[i] = 0;
          if (m % 2 == 1) problem.weight_[i] /= 2;
        }
        problem.has_zeros_ = true;
        problem.repack();
        expect_equals_scalar(GetParam(), problem);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Beyond int32 the sum wraps around, on every ISA.
TEST_P(GemmTest, OverflowWraps) {
  Problem problem({3, 20, 1, 66}, Rows::kDense, 5);
  for (size_t i = 0; i < problem.start_.size(); ++i) {
    problem.start_[i] = i % 2 ? std::numeric_limits<int32_t>::max() - int32_t(i)
                              : std::numeric_limits<int32_t>::min() + int32_t(i);
  }
  expect_equals_scalar(GetParam(), problem);
}

TEST_P(GemmTest, EpilogueExtremes) {
  constexpr float kMax = std::numeric_limits<float>::max();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> multipliers = {0.0f, -0.0f, kTiny,  -1e-3f, 1e-3f, 1.0f,  3e4f,
                                          1e5f, 1e30f, -1e30f, kMax,   kInf,  -kInf, kNan};
  const std::vector<float> biases = {0.0f,   -0.0f,  0.5f,     -0.5f,     1.5f,   -2.5f,
                                     254.5f, 255.5f, 32767.0f, -32768.5f, 2.2e9f, -2.2e9f,
                                     1e38f,  -1e38f, kInf,     -kInf,     kNan};
  const int64_t n = static_cast<int64_t>(multipliers.size() * biases.size());
  Problem problem({5, n, 1, 12}, Rows::kDense, 5);
  for (int64_t i = 0; i < n; ++i) {
    problem.multiplier_[i] = multipliers[i % multipliers.size()];
    problem.bias_[i] = biases[i / multipliers.size()];
    if (i % 5 == 0) {
      // Exact zero sums, so that the bias alone decides.
      std::fill_n(problem.weight_.begin() + i * 12, 12, int8_t{0});
      problem.start_[i] = 0;
    }
  }
  problem.repack();
  for (int32_t zero_point : {0, 1, 127, 128, 254, 255}) {
    for (const auto& [lo, hi] : {std::pair{0, 255}, {0, 0}, {255, 255}, {128, 255}, {3, 250}}) {
      for (uint8_t flip : {0, 0x80}) {
        problem.requantize_ = {.zero_point = zero_point, .lo = lo, .hi = hi, .flip = flip};
        expect_equals_scalar<uint8_t>(GetParam(), problem, {0, 5, 0, n});
        if (HasFatalFailure()) return;
      }
    }
  }
  for (const auto& [lo, hi] : {std::pair{-kInf, kInf}, {0.0f, kInf}, {0.0f, 6.0f}, {-1.5f, 1.5f}}) {
    problem.float_lo_ = lo;
    problem.float_hi_ = hi;
    expect_equals_scalar<float>(GetParam(), problem, {0, 5, 0, n});
    if (HasFatalFailure()) return;
  }
}

// Scalar against the formula in int64 and double. The multipliers have 8 significant bits and the
// biases few, so that double holds multiplier * acc + bias exactly and rounding it to float is the
// one rounding of fma.
TEST(GemmScalarTest, IsTheFormula) {
  for (const Shape& shape : {Shape{5, 33, 1, 67}, Shape{7, 3, 3, 9}, Shape{1, 17, 9, 16}}) {
    for (Rows rows : {Rows::kDense, Rows::kStrided, Rows::kOverlapping}) {
      Problem problem(shape, rows, 17);
      if (rows == Rows::kStrided) {
        problem.add_row_parameters();
        for (float& v : problem.row_multiplier_) v = problem.random_.uniform(0, 1) ? 0.5f : 2.0f;
      }
      for (float& v : problem.multiplier_) v = problem.random_.uniform(128, 255) * 0x1p-17f;
      for (float& v : problem.bias_) v = problem.random_.uniform(-4000, 4000) * 0x1p-5f;
      problem.requantize_ = {.zero_point = 131, .lo = 7, .hi = 249, .flip = 0x80};
      problem.float_lo_ = -70.0f;
      problem.float_hi_ = 90.0f;
      Guarded<uint8_t> y(problem.y_size());
      Guarded<float> real(problem.y_size());
      Guarded<int32_t> sums(problem.y_size());
      const Kernel<Fn>& scalar = kernels().back();
      ASSERT_EQ(scalar.isa, Isa::kScalar);
      scalar.run(problem.args(y.data()), 0, shape.m, 0, shape.n, nullptr);
      scalar.run(problem.args(real.data()), 0, shape.m, 0, shape.n, nullptr);
      scalar.run(problem.args(sums.data()), 0, shape.m, 0, shape.n, nullptr);
      for (int64_t i = 0; i < shape.m; ++i) {
        for (int64_t n = 0; n < shape.n; ++n) {
          const double acc = static_cast<float>(problem.accumulator(i, n, false));
          const double real_acc = static_cast<float>(problem.accumulator(i, n, true));
          const float row_multiplier =
              problem.row_multiplier_.empty() ? 1.0f : problem.row_multiplier_[i];
          const auto scaled = [&](double sum, double multiplier) {
            return static_cast<float>(sum * multiplier + problem.bias_[n]);
          };
          const float r = scaled(acc, problem.multiplier_[n]);
          const double level = std::nearbyint(static_cast<double>(r)) + 131;
          const int64_t at = i * (shape.n + 5) + n;
          EXPECT_EQ(sums.data()[at], problem.accumulator(i, n, false));
          EXPECT_EQ(y.data()[at], static_cast<int>(std::clamp(level, 7.0, 249.0)) ^ 0x80);
          EXPECT_EQ(
              real.data()[at],
              std::clamp(scaled(real_acc, problem.multiplier_[n] * row_multiplier), -70.0f, 90.0f));
        }
      }
    }
  }
}

TEST(GemmScratchTest, IsBoundedAndGrowsWithRows) {
  Problem problem({1, 16, 1, 768}, Rows::kDense, 1);
  const Args args = problem.args<uint8_t>(nullptr);
  EXPECT_LT(scratch_size(args, 1), scratch_size(args, 33));
  EXPECT_LE(scratch_size(args), 640 * 1024);
  EXPECT_EQ(scratch_size(args, 1 << 30), scratch_size(args));
  EXPECT_EQ(scratch_size(args, 0), 0);
}

}  // namespace
}  // namespace qnative::gemm
