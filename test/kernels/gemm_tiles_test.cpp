#include "gemm_problem.h"

// Further cases for kernels with tiles of 16 rows and 64 k.
namespace qnative::gemm {
namespace {

class GemmTilesTest : public testing::TestWithParam<Kernel<Fn>> {};

INSTANTIATE_TEST_SUITE_P(Kernels, GemmTilesTest, testing::ValuesIn(tested_kernels()), name_of);

// Numbers of groups of four k: some divide into equal steps, some are prime.
const std::vector<int64_t> kSizes = {40, 44, 64, 67, 68, 76, 80, 112, 129, 144, 188, 240, 479, 511};

TEST_P(GemmTilesTest, LargeEnoughForTiles) {
  for (int64_t m : {4, 15, 16, 17, 31, 32, 33, 47, 49, 65}) {
    for (int64_t size : kSizes) {
      const int64_t least = 300'000 / (m * size) + 1;
      const Shape shape = {m, std::max<int64_t>(least, 8 + (m * 3 + size) % 61), 1, size};
      expect_equals_scalar(GetParam(), Problem(shape, Rows::kStrided, m * 1000 + size));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTilesTest, Images) {
  for (int64_t m : {12, 14, 15, 24, 28, 36, 42, 60, 70, 84, 98, 110}) {
    for (int64_t size : {9, 24, 48, 72, 96, 144, 192}) {
      for (int64_t segments : {1, 3, 5}) {
        const Shape shape = {m, 8 + (m + size) % 73, segments, size};
        expect_equals_scalar(GetParam(), Problem(shape, Rows::kImage, m * 1000 + size));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// A range of rows that does not begin or end with an image row.
TEST_P(GemmTilesTest, PartsOfImages) {
  const Problem problem({98, 130, 3, 48}, Rows::kImage, 3);
  for (const auto& [m_begin, m_end] : {std::pair{0, 98}, {14, 42}, {7, 49}, {13, 97}, {5, 13}}) {
    for (const auto& [n_begin, n_end] : {std::pair{0, 130}, {16, 96}, {64, 1000}, {128, 130}}) {
      const Range range = {m_begin, m_end, n_begin, n_end};
      expect_equals_scalar<uint8_t>(GetParam(), problem, range);
      expect_equals_scalar<float>(GetParam(), problem, range);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTilesTest, RowParameters) {
  for (int64_t m : {5, 16, 17, 33, 50}) {
    for (int64_t size : {64, 129, 240}) {
      Problem problem({m, 100, 1, size}, Rows::kDense, m * 1000 + size);
      problem.add_row_parameters();
      expect_equals_scalar(GetParam(), problem);
      problem.activation_ = FloatActivation::kGelu;
      expect_equals_scalar<float>(GetParam(), problem, {m / 2, m, 32, 100});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GemmTilesTest, PanelsOfLongerSegments) {
  Problem problem({40, 70, 1, 132}, Rows::kDense, 3);
  problem.lengthen(300);
  expect_equals_scalar(GetParam(), problem);
}

// More than 1 MB of weights need several blocks of rows; more than 1 MB of output is prefetched.
TEST_P(GemmTilesTest, LargeOperands) {
  expect_equals_scalar(GetParam(), Problem({150, 300, 1, 4000}, Rows::kDense, 1));
  expect_equals_scalar(GetParam(), Problem({2300, 470, 1, 40}, Rows::kStrided, 2));
  expect_equals_scalar(GetParam(), Problem({130, 1100, 3, 330}, Rows::kImage, 3));
}

}  // namespace
}  // namespace qnative::gemm
