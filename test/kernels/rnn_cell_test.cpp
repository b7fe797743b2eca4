#include "rnn_cell/rnn_cell.h"

#include <cmath>
#include <functional>

#include "kernels/common.h"
#include "kernels/lengths.h"

namespace qnative::rnn_cell {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct State {
  double c, h;
};
// The inputs of a gate: from the input and from the hidden state.
using Gates = std::function<double(int gate)>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

State lstm(const Gates& a, const Gates& b, State s) {
  const auto gate = [&](int g) { return a(g) + b(g); };
  const double c = sigmoid(gate(1)) * s.c + sigmoid(gate(0)) * std::tanh(gate(2));
  return {c, sigmoid(gate(3)) * std::tanh(c)};
}
State gru(const Gates& a, const Gates& b, State s) {
  const double r = sigmoid(a(0) + b(0)), z = sigmoid(a(1) + b(1));
  const double n = std::tanh(a(2) + r * b(2));
  return {s.c, (1 - z) * n + z * s.h};
}
State rnn_tanh(const Gates& a, const Gates& b, State s) { return {s.c, std::tanh(a(0) + b(0))}; }
State rnn_relu(const Gates& a, const Gates& b, State s) {
  const double x = a(0) + b(0);
  return {s.c, x < 0 ? 0 : x};
}

struct Family {
  const char* name;
  std::span<const Kernel<Fn>> kernels;
  State (*expected)(const Gates&, const Gates&, State);
  int gates;
};

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

// Gates and rows with gaps between them, in memory that ends at an unreadable page.
struct Problem {
  Problem(const Family& family, int64_t rows, int64_t hidden, int64_t gate_stride,
          std::vector<float> ih, std::vector<float> hh, std::vector<float> c, std::vector<float> h)
      : rows(rows),
        hidden(hidden),
        gate_stride(gate_stride),
        ih_stride(row_stride(family, ih)),
        hh_stride(row_stride(family, hh)),
        ih_values(std::move(ih)),
        hh_values(std::move(hh)),
        c_values(std::move(c)),
        h_values(std::move(h)),
        guarded_ih(ih_values, PageGuarded<float>::Side::kAfter),
        guarded_hh(hh_values, PageGuarded<float>::Side::kAfter) {}

  // y begins as h.
  struct Result {
    Guarded<float> c, y;
    Result(const Problem& p, int64_t misalign)
        : c(p.c_values.size(), misalign), y(p.h_values.size(), misalign) {
      std::copy(p.c_values.begin(), p.c_values.end(), c.data());
      std::copy(p.h_values.begin(), p.h_values.end(), y.data());
    }
  };
  Args args(Result& result) const {
    return {.ih = guarded_ih.data(),
            .hh = guarded_hh.data(),
            .c = result.c.data(),
            .h = h_values.data(),
            .y = result.y.data(),
            .ih_stride = ih_stride,
            .hh_stride = hh_stride,
            .c_stride = hidden,
            .h_stride = hidden,
            .y_stride = hidden,
            .gate_stride = gate_stride,
            .hidden = hidden};
  }
  void run(Fn* kernel, Result& result) const { kernel(args(result), 0, rows); }
  State expected(const Family& family, int64_t row, int64_t j) const {
    const auto a = [&](int g) { return ih_values[row * ih_stride + g * gate_stride + j]; };
    const auto b = [&](int g) { return hh_values[row * hh_stride + g * gate_stride + j]; };
    return family.expected(a, b, {c_values[row * hidden + j], h_values[row * hidden + j]});
  }

  int64_t row_stride(const Family& family, const std::vector<float>& gates) const {
    const int64_t row = (family.gates - 1) * gate_stride + hidden;
    return rows > 1 ? (static_cast<int64_t>(gates.size()) - row) / (rows - 1) : row;
  }

  int64_t rows, hidden, gate_stride, ih_stride, hh_stride;
  std::vector<float> ih_values, hh_values, c_values, h_values;
  PageGuarded<float> guarded_ih, guarded_hh;
};

Problem random_problem(const Family& family, int64_t rows, int64_t hidden, float range,
                       Random& random) {
  const int64_t gate_stride = hidden + rows - 1, row = (family.gates - 1) * gate_stride + hidden;
  return Problem(family, rows, hidden, gate_stride,
                 random.vector<float>(rows * (row + 3) - 3, -range, range),
                 random.vector<float>(rows * row, -range, range),
                 random.vector<float>(rows * hidden, -range, range),
                 random.vector<float>(rows * hidden, -1, 1));
}

class RnnCell : public testing::TestWithParam<Family> {};

// The approximations are within 1e-7 and 2e-7, the gates round once more, and a state near `range`
// has a larger ulp.
TEST_P(RnnCell, ScalarIsCloseToTheFormula) {
  Random random(1);
  for (float range : {0.01f, 1.0f, 6.0f, 30.0f, 200.0f}) {
    const Problem problem = random_problem(GetParam(), 3, 1000, range, random);
    Problem::Result y(problem, 0);
    problem.run(runnable(GetParam().kernels).back().run, y);
    for (int64_t i = 0; i < 3000; ++i) {
      const State expected = problem.expected(GetParam(), i / 1000, i % 1000);
      const double tolerance = 4e-7 * std::fmax(1, range);
      ASSERT_NEAR(y.c.data()[i], expected.c, tolerance) << "range " << range;
      ASSERT_NEAR(y.y.data()[i], expected.h, tolerance) << "range " << range;
    }
  }
}

TEST_P(RnnCell, EveryIsaGivesTheBitsOfScalar) {
  Random random(2);
  for (int64_t hidden : test::lengths()) {
    for (float range : {1.0f, 100.0f}) {
      const Problem problem = random_problem(GetParam(), 1 + hidden % 3, hidden, range, random);
      Problem::Result expected(problem, 0);
      problem.run(GetParam().kernels.back().run, expected);
      for (const auto& kernel : runnable(GetParam().kernels)) {
        Problem::Result y(problem, hidden % 5);
        problem.run(kernel.run, y);
        ASSERT_TRUE(same_bits(y.y.values(), expected.y.values()))
            << name(kernel.isa) << ", hidden " << hidden;
        ASSERT_TRUE(same_bits(y.c.values(), expected.c.values()))
            << name(kernel.isa) << ", hidden " << hidden;
        EXPECT_TRUE(y.y.intact() && y.c.intact()) << name(kernel.isa) << ", hidden " << hidden;
      }
    }
  }
}

// Every exponent and both signs, the ends of the range, infinities and NaN, in every gate.
TEST_P(RnnCell, ExtremesGiveTheBitsOfScalarAndNanStays) {
  Random random(3);
  std::vector<float> values = {0.0f, -0.0f, kInfinity, -kInfinity, 87.0f, -87.0f, 10.0f, -10.0f};
  for (int exponent = -149; exponent <= 127; ++exponent) {
    for (float sign : {1.0f, -1.0f}) {
      values.push_back(sign * std::ldexp(1.0f, exponent) * random.uniform(1.0f, 1.99f));
    }
  }
  const auto hidden = static_cast<int64_t>(values.size());
  for (int gate = 0; gate < GetParam().gates; ++gate) {
    auto problem_of = [&](const std::vector<float>& special) {
      auto ih = random.vector<float>(hidden * GetParam().gates, -1, 1);
      std::copy(special.begin(), special.end(), ih.begin() + gate * hidden);
      return Problem(GetParam(), 1, hidden, hidden, ih,
                     random.vector<float>(hidden * GetParam().gates, -1, 1),
                     random.vector<float>(hidden, -1, 1), random.vector<float>(hidden, -1, 1));
    };
    const Problem problem = problem_of(values);
    Problem::Result expected(problem, 0);
    problem.run(GetParam().kernels.back().run, expected);
    const Problem nans = problem_of(std::vector<float>(hidden, kNan));
    for (const auto& kernel : runnable(GetParam().kernels)) {
      Problem::Result y(problem, 0);
      problem.run(kernel.run, y);
      ASSERT_TRUE(same_bits(y.y.values(), expected.y.values())) << name(kernel.isa);
      ASSERT_TRUE(same_bits(y.c.values(), expected.c.values())) << name(kernel.isa);
      Problem::Result nan(nans, 0);
      nans.run(kernel.run, nan);
      for (float h : nan.y.values()) ASSERT_TRUE(std::isnan(h)) << name(kernel.isa);
    }
  }
}

TEST_P(RnnCell, OnlyItsRowsAreWrittenAndStatesMayBeReplaced) {
  Random random(4);
  const Problem problem = random_problem(GetParam(), 4, 37, 1, random);
  for (const auto& kernel : runnable(GetParam().kernels)) {
    Problem::Result all(problem, 0), some(problem, 0);
    problem.run(kernel.run, all);
    Args args = problem.args(some);
    args.h = args.y;
    kernel.run(args, 1, 3);
    for (int64_t i = 0; i < 4 * 37; ++i) {
      const bool inside = i >= 37 && i < 3 * 37;
      ASSERT_EQ(some.y.data()[i], inside ? all.y.data()[i] : problem.h_values[i]);
      ASSERT_EQ(some.c.data()[i], inside ? all.c.data()[i] : problem.c_values[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RnnCell,
                         testing::Values(Family{"lstm", lstm_kernels(), lstm, 4},
                                         Family{"gru", gru_kernels(), gru, 3},
                                         Family{"rnn_tanh", rnn_tanh_kernels(), rnn_tanh, 1},
                                         Family{"rnn_relu", rnn_relu_kernels(), rnn_relu, 1}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qnative::rnn_cell
