#include <algorithm>
#include <cmath>
#include <list>

#include "attention/attention.h"
#include "blocks.h"
#include "kernels/common.h"

// The steps of attention_dynamic: operands to bytes, and the whole result for few rows.
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

// Rows of numbers with a gap behind each, at the end of readable memory.
struct Matrix {
  Matrix(Random& random, int64_t rows, int64_t n, int64_t gap)
      : rows(rows), n(n), stride(n + gap), values(std::max<int64_t>(rows * stride - gap, 0)) {
    for (float& v : values) {
      v = random.uniform(0, 15) == 0 ? random.uniform(-60.0f, 60.0f) : random.uniform(-3.0f, 3.0f);
    }
  }
  float at(int64_t r, int64_t c) const { return values[r * stride + c]; }
  PageGuarded<float> guarded() const { return {values, PageGuarded<float>::Side::kAfter}; }

  int64_t rows, n, stride;
  std::vector<float> values;
};

std::vector<int64_t> widths() {
  return {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 96, 127, 128, 129, 200};
}

// Four vectors of a number for each column.
struct ColumnValues {
  explicit ColumnValues(int64_t n) : low(n, 1), scale(n, 1), inverse(n, 1), shift(n, 1) {}
  Columns view() { return {low.data(), scale.data(), inverse.data(), shift.data()}; }
  bool intact() const {
    return low.intact() && scale.intact() && inverse.intact() && shift.intact();
  }

  Guarded<float> low, scale, inverse, shift;
};

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

void expect_columns(const Matrix& x) {
  const PageGuarded<float> memory = x.guarded();
  for (const auto& kernel : runnable(measure_columns_kernels())) {
    ColumnValues actual(x.n);
    kernel.run({memory.data(), x.rows, x.n, x.stride}, actual.view());
    EXPECT_TRUE(actual.intact()) << name(kernel.isa);
    for (int64_t c = 0; c < x.n; ++c) {
      float low = kInf, high = -kInf;
      bool is_finite = true;
      for (int64_t r = 0; r < x.rows; ++r) {
        is_finite = is_finite && std::isfinite(x.at(r, c));
        low = std::min(low, x.at(r, c)) + 0.0f;
        high = std::max(high, x.at(r, c)) + 0.0f;
      }
      const double range = double{high} - double{low};
      const float scale = range == 0 ? 0 : std::max(static_cast<float>(range / 255), 0x1p-126f);
      const float inverse = range == 0 ? 0 : 1 / scale;
      // Half of a range is not rounded as the whole is: float32 of the difference, not of float64.
      const float slack = is_finite ? scale * 1e-6f : 0;
      const float of_low = actual.low.data()[c], of_scale = actual.scale.data()[c];
      if (is_finite) {
        EXPECT_TRUE(same(of_low, low)) << name(kernel.isa) << " column " << c;
        EXPECT_NEAR(of_scale, scale, slack) << name(kernel.isa) << " column " << c;
        EXPECT_NEAR(actual.inverse.data()[c], inverse, inverse * 1e-6f);
        EXPECT_EQ(actual.shift.data()[c], -of_low * actual.inverse.data()[c]);
      } else {
        EXPECT_TRUE(std::isnan(of_low) && std::isnan(of_scale)) << name(kernel.isa);
        EXPECT_TRUE(std::isnan(actual.inverse.data()[c]) && std::isnan(actual.shift.data()[c]));
      }
    }
  }
}

void expect_columns_of_scalar(const Matrix& x) {
  ColumnValues expected(x.n);
  const PageGuarded<float> memory = x.guarded();
  const Floats floats = {memory.data(), x.rows, x.n, x.stride};
  measure_columns_kernels().back().run(floats, expected.view());
  for (const auto& kernel : runnable(measure_columns_kernels())) {
    ColumnValues actual(x.n);
    kernel.run(floats, actual.view());
    for (int64_t c = 0; c < x.n; ++c) {
      EXPECT_TRUE(same(actual.low.data()[c], expected.low.data()[c])) << name(kernel.isa);
      EXPECT_TRUE(same(actual.scale.data()[c], expected.scale.data()[c])) << name(kernel.isa);
      EXPECT_TRUE(same(actual.inverse.data()[c], expected.inverse.data()[c])) << name(kernel.isa);
      EXPECT_TRUE(same(actual.shift.data()[c], expected.shift.data()[c])) << name(kernel.isa);
    }
  }
}

TEST(MeasureColumns, EveryIsaGivesTheFormula) {
  Random random(4);
  for (int64_t n : widths()) {
    for (int64_t rows : {1, 2, 9}) {
      const Matrix x(random, rows, n, n % 4);
      expect_columns(x);
      expect_columns_of_scalar(x);
      for (float odd : {kNan, kInf, -kInf, -0.0f, kMax, -kMax, 1e-42f}) {
        Matrix other = x;
        other.values[random.uniform<int64_t>(0, rows - 1) * x.stride +
                     random.uniform<int64_t>(0, n - 1)] = odd;
        expect_columns(other);
        expect_columns_of_scalar(other);
      }
    }
  }
}

// Ranges that float32 cannot hold, none at all, and denormal ones.
TEST(MeasureColumns, ExtremeRanges) {
  Random random(9);
  Matrix x(random, 2, 70, 1);
  const float ends[][2] = {{-kMax, kMax}, {5, 5}, {0, 0}, {-0.0f, 0}, {1e-42f, 3e-42f}, {1, kMax}};
  for (const auto& [low, high] : ends) {
    for (int64_t c = 0; c < x.n; ++c) {
      x.values[c] = high;
      x.values[x.stride + c] = low;
    }
    expect_columns(x);
    expect_columns_of_scalar(x);
  }
}

TEST(QuantizeColumns, EveryIsaGivesTheFormula) {
  Random random(5);
  for (int64_t n : widths()) {
    for (int64_t rows : {0, 1, 5}) {
      Matrix x(random, rows, n, n % 3);
      for (float odd : {kNan, kInf, -kInf, 1e30f, -1e30f}) {
        if (rows > 0) x.values[random.uniform<int64_t>(0, n - 1)] = odd;
      }
      auto inverse = random.vector(n, 0.0f, 30.0f), shift = random.vector(n, -9.0f, 260.0f);
      const int64_t y_stride = n + 5;
      std::vector<uint8_t> expected(rows * y_stride, Guarded<uint8_t>::kPoison);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          const auto v =
              static_cast<float>(static_cast<long double>(x.at(r, c)) * inverse[c] + shift[c]);
          const double level = std::isnan(v) ? 255 : std::clamp(std::nearbyint(v), 0.0f, 255.0f);
          expected[r * y_stride + c] = static_cast<uint8_t>(level);
        }
      }
      const PageGuarded<float> memory = x.guarded();
      const Columns columns = {nullptr, nullptr, inverse.data(), shift.data()};
      for (const auto& kernel : runnable(quantize_columns_kernels())) {
        Guarded<uint8_t> y(rows * y_stride, 1);
        kernel.run({memory.data(), rows, n, x.stride}, columns, y.data(), y_stride);
        EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << n;
        EXPECT_TRUE(y.intact()) << name(kernel.isa);
      }
    }
  }
}

void expect_rows(const Matrix& x, const std::vector<float>& factor) {
  const int64_t y_stride = x.n + 3;
  std::vector<uint8_t> expected(x.rows * y_stride, Guarded<uint8_t>::kPoison);
  std::vector<float> scale(x.rows);
  std::vector<int32_t> zero_point(x.rows);
  for (int64_t r = 0; r < x.rows; ++r) {
    double low = 0, high = 0;
    bool is_finite = true;
    std::vector<float> v(x.n);
    for (int64_t c = 0; c < x.n; ++c) {
      v[c] = x.at(r, c) * factor[c];
      is_finite = is_finite && std::isfinite(v[c]);
      low = std::min<double>(low, v[c]);
      high = std::max<double>(high, v[c]);
    }
    scale[r] = std::max(static_cast<float>((high - low) / 255), 0x1p-126f);
    const float inverse = 1 / scale[r];
    if (is_finite) {
      const float steps = std::nearbyint(static_cast<float>(-low) * inverse);
      zero_point[r] = -static_cast<int32_t>(std::min(steps, 255.0f));
    } else {
      scale[r] = kNan;
    }
    for (int64_t c = 0; c < x.n; ++c) {
      const float level = std::nearbyint(v[c] * inverse) - static_cast<float>(zero_point[r]);
      expected[r * y_stride + c] =
          is_finite ? static_cast<uint8_t>(std::clamp(level, 0.0f, 255.0f)) : uint8_t{0};
    }
  }
  const PageGuarded<float> memory = x.guarded();
  const PageGuarded<float> factors(factor, PageGuarded<float>::Side::kAfter);
  for (const auto& kernel : runnable(quantize_rows_kernels())) {
    Guarded<uint8_t> y(x.rows * y_stride, 1);
    Guarded<float> scales(x.rows);
    Guarded<int32_t> zero_points(x.rows);
    kernel.run({memory.data(), x.rows, x.n, x.stride}, factors.data(),
               {y.data(), y_stride, scales.data(), zero_points.data()});
    EXPECT_TRUE(same_bits<uint8_t>(y.values(), expected)) << name(kernel.isa) << ", n " << x.n;
    EXPECT_TRUE(same_bits<float>(scales.values(), scale)) << name(kernel.isa) << ", n " << x.n;
    EXPECT_TRUE(same_bits<int32_t>(zero_points.values(), zero_point)) << name(kernel.isa);
    EXPECT_TRUE(y.intact() && scales.intact() && zero_points.intact()) << name(kernel.isa);
  }
}

TEST(QuantizeRows, EveryIsaGivesTheFormula) {
  Random random(6);
  for (int64_t n : widths()) {
    for (int64_t rows : {0, 1, 7}) {
      const auto factor = random.vector(n, 0.001f, 3.0f);
      const Matrix x(random, rows, n, n % 3);
      expect_rows(x, factor);
      for (float odd : {kNan, kInf, -kInf, kMax, 1e-42f}) {
        if (rows == 0) continue;
        Matrix other = x;
        const int64_t row = random.uniform<int64_t>(0, rows - 1);
        other.values[row * x.stride + random.uniform<int64_t>(0, n - 1)] = odd;
        expect_rows(other, factor);
      }
      Matrix equal = x;
      for (float value : {0.0f, -0.0f, 5.0f, -5.0f, 1e-44f, -kMax}) {
        std::fill(equal.values.begin(), equal.values.end(), value);
        expect_rows(equal, std::vector<float>(n, 1.0f));
      }
    }
  }
}

// ---- Few rows ------------------------------------------------------------------------------

struct Problem {
  Problem(Random& random, int64_t rows, int64_t keys, int64_t q_size, int64_t v_size)
      : q(random, rows, q_size, 1),
        k(random, keys, q_size, 3),
        v(random, keys, v_size, 2),
        visible(rows, keys) {}

  const std::vector<float>* mask_row(int64_t r) const { return mask.empty() ? nullptr : &mask[r]; }

  Matrix q, k, v;
  std::vector<int64_t> visible;
  std::vector<std::vector<float>> mask;  // empty: none
};

std::vector<float> run(FloatRowsFn& kernel, const Problem& p, float scale) {
  const PageGuarded<float> q = p.q.guarded(), k = p.k.guarded(), v = p.v.guarded();
  const int64_t y_stride = p.v.n + 3;
  Guarded<float> y(p.q.rows * y_stride, 1), scratch(p.q.rows * blocks(p.k.rows));
  std::vector<const float*> mask;
  std::list<PageGuarded<float>> memory;
  for (const auto& row : p.mask) {
    memory.emplace_back(row, PageGuarded<float>::Side::kAfter);
    mask.push_back(memory.back().data());
  }
  kernel({.q = {q.data(), p.q.rows, p.q.n, p.q.stride},
          .mask = mask.empty() ? nullptr : mask.data(),
          .keys = p.visible.data(),
          .k = {k.data(), p.k.rows, p.k.n, p.k.stride},
          .v = {v.data(), p.v.rows, p.v.n, p.v.stride},
          .scale = scale,
          .y = y.data(),
          .y_stride = y_stride},
         scratch.data());
  EXPECT_TRUE(y.intact() && scratch.intact());
  return {y.values().begin(), y.values().end()};
}

void expect_attention(const Problem& p, float scale) {
  const std::vector<float> expected = run(*float_rows_kernels().back().run, p, scale);
  for (const auto& kernel : runnable(float_rows_kernels())) {
    EXPECT_TRUE(same_bits<float>(run(*kernel.run, p, scale), expected))
        << name(kernel.isa) << " keys " << p.k.rows << " sizes " << p.q.n << ", " << p.v.n;
  }
  for (int64_t r = 0; r < p.q.rows; ++r) {
    std::vector<double> e(p.visible[r]);
    double largest = -kInf, sum = 0;
    for (int64_t t = 0; t < p.visible[r]; ++t) {
      double s = 0;
      for (int64_t c = 0; c < p.q.n; ++c) s += double{p.q.at(r, c)} * p.k.at(t, c);
      e[t] = s * scale + (p.mask_row(r) == nullptr ? 0.0 : double{(*p.mask_row(r))[t]});
      largest = std::max(largest, e[t]);
    }
    for (double& x : e) sum += x = largest == -kInf ? 0 : std::exp(x - largest);
    for (int64_t n = 0; n < p.v.n; ++n) {
      double y = 0, magnitude = 0;
      for (int64_t t = 0; t < p.visible[r]; ++t) {
        y += e[t] / std::max(sum, 1e-30) * p.v.at(t, n);
        magnitude += e[t] / std::max(sum, 1e-30) * std::abs(p.v.at(t, n));
      }
      ASSERT_NEAR(expected[r * (p.v.n + 3) + n], y, 1e-4 * magnitude) << "row " << r;
    }
  }
}

TEST(FloatRowsTest, EveryIsaGivesTheFormula) {
  Random random(7);
  for (int64_t rows = 0; rows <= kMaxRows; ++rows) {
    for (int64_t size : {1, 8, 15, 16, 20, 31, 32, 33, 64, 80, 96, 130}) {
      for (int64_t keys : {0, 1, 7, 16, 63, 64, 70, 197}) {
        Problem p(random, rows, keys, size, (size * 3 + keys) % 140 + 1);
        const float scale = 0.05f;
        expect_attention(p, scale);
        for (int64_t& visible : p.visible) visible = random.uniform<int64_t>(0, keys);
        expect_attention(p, scale);
        for (int64_t visible : p.visible) {
          p.mask.push_back(random.vector(visible, -2.0f, 2.0f));
          for (float& m : p.mask.back()) m = random.uniform(0, 3) == 0 ? -kInf : m;
        }
        expect_attention(p, scale);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Infinities and NaNs of any bits, which add up to what the order of operands decides.
TEST(FloatRowsTest, OddValuesGiveEveryIsaTheSameBits) {
  Random random(10);
  Problem p(random, 3, 70, 20, 50);
  for (float& v : p.v.values) {
    const float odd[] = {kNan, -kNan, kInf, -kInf};
    const int i = random.uniform(0, 199);
    v = i < 4 ? odd[i] : v;
  }
  const std::vector<float> expected = run(*float_rows_kernels().back().run, p, 0.1f);
  for (const auto& kernel : runnable(float_rows_kernels())) {
    EXPECT_TRUE(same_bits<float>(run(*kernel.run, p, 0.1f), expected)) << name(kernel.isa);
  }
}

TEST(FloatRowsTest, OddRowsChangeNoOthers) {
  Random random(8);
  for (float odd : {kNan, kInf, -kInf}) {
    Problem p(random, 3, 70, 64, 64);
    p.mask.assign(3, std::vector<float>(70, 0.0f));
    std::fill(p.mask[1].begin(), p.mask[1].end(), odd);
    for (const auto& kernel : runnable(float_rows_kernels())) {
      const std::vector<float> y = run(*kernel.run, p, 0.1f);
      for (int64_t n = 0; n < 64; ++n) {
        EXPECT_TRUE(std::isfinite(y[n]) && std::isfinite(y[2 * 67 + n]));
        EXPECT_TRUE(odd == -kInf ? y[67 + n] == 0 : std::isnan(y[67 + n])) << name(kernel.isa);
      }
    }
  }
}

}  // namespace
}  // namespace qnative::attention
