#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>

#include "blocks.h"
#include "common.h"
#include "gemm/gemm.h"

// Problems for the kernels of gemm, and comparisons with scalar.
namespace qnative::gemm {

#if defined(__x86_64__)
Fn amx_int8_tiles;
#endif

namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::Scratch;

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Shape {
  int64_t m, n, segments, segment_size;
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "m=" << s.m << " n=" << s.n << " segments=" << s.segments
             << " segment_size=" << s.segment_size;
}

enum class Rows {
  kDense,        // row_offset null, rows next to each other
  kStrided,      // row_offset null, gaps between rows
  kOverlapping,  // row_offset and segment_offset irregular, not sorted, negative
  kImage,  // rows are pixels of image rows of 14, 12 or 5; segments are in the next image rows
};

// A problem with the memory that it needs. x ends 3 bytes before an unreadable page.
class Problem {
 public:
  Problem(const Shape& shape, Rows rows, uint64_t seed, float multiplier_scale = 1.0f)
      : shape_(shape), random_(seed) {
    make_rows(rows);
    weight_ = random_.full_range<int8_t>(shape.n * shape.segments * shape.segment_size);
    repack();
    const int64_t padded = round_up(shape.n, 16);
    start_ = random_.vector<int32_t>(padded, -100000, 100000);
    // Spreads the outputs over the 256 values, and a little further.
    const double deviation = 74.0 * 128.0 * std::sqrt(shape.segments * shape.segment_size + 1.0);
    const float typical = static_cast<float>(90.0 / (deviation + 50000.0)) * multiplier_scale;
    multiplier_ = random_.vector<float>(padded, 0.5f * typical, 1.5f * typical);
    bias_ = random_.vector<float>(padded, -40.0f, 40.0f);
    requantize_ = {
        .zero_point = seed % 3 == 0 ? 0 : random_.uniform(0, 255), .lo = 0, .hi = 255, .flip = 0};
  }

  void repack() {
    packed_.assign(packed_size(shape_.n, shape_.segments, shape_.segment_size) + 1, 0);
    pack(weight_.data(), shape_.n, shape_.segments, shape_.segment_size, packed_.data() + 1);
  }

  // Makes the weights the first ones of longer segments.
  void lengthen(int64_t size) {
    std::vector<int8_t> longer = random_.full_range<int8_t>(shape_.n * size);
    for (int64_t n = 0; n < shape_.n; ++n) {
      std::copy_n(&weight_[n * shape_.segment_size], shape_.segment_size, &longer[n * size]);
    }
    packed_.assign(packed_size(shape_.n, 1, size) + 1, 0);
    pack(longer.data(), shape_.n, 1, size, packed_.data() + 1);
    panel_stride_ = panels_size(16, 1, size);
  }

  // The weights are 1 byte away from alignment. T: the type of y.
  template <class T>
  Args args(T* y) const {
    constexpr bool float_output = std::is_same_v<T, float>;
    constexpr bool word_output = std::is_same_v<T, int16_t>;
    // Bounds that some of the results, which are about 100, are beyond.
    constexpr Requantize kWords = {.zero_point = 0, .lo = -90, .hi = 120, .flip = 0};
    return {
        .x = x_->data() - origin_,
        .row_offset = row_offset_.empty() ? nullptr : row_offset_.data(),
        .x_stride = x_stride_,
        .segment_offset = segment_offset_.data(),
        .segments = shape_.segments,
        .segment_size = shape_.segment_size,
        .weight = packed_.data() + 1,
        .start = start_.data(),
        .multiplier = multiplier_.data(),
        .bias = bias_.data(),
        .n = shape_.n,
        .y = y,
        .y_stride = shape_.n + 5,
        .float_output = float_output,
        .requantize = word_output ? kWords : requantize_,
        .float_lo = float_lo_,
        .float_hi = float_hi_,
        .activation = activation_,
        .row_factor = row_factor_.empty() ? nullptr : row_factor_.data(),
        .column_factor = column_factor_.empty() ? nullptr : column_factor_.data(),
        .row_multiplier = row_multiplier_.empty() ? nullptr : row_multiplier_.data(),
        .outlier_count = float_output && !outlier_count_.empty() ? outlier_count_.data() : nullptr,
        .outliers = outliers_.data(),
        .outlier_stride = kMaxOutliers,
        .has_zeros = has_zeros_,
        .panel_stride = panel_stride_,
        .sum_output = std::is_same_v<T, int32_t>,
        .word_output = word_output};
  }

  // A zero point and a scale per row, as in dynamic quantization.
  void add_row_parameters() {
    row_factor_ = random_.vector<int32_t>(shape_.m, -255, 0);
    column_factor_ = random_.vector<int32_t>(round_up(shape_.n, 16), -30000, 30000);
    row_multiplier_ = random_.vector<float>(shape_.m, 0.25f, 4.0f);
    outlier_count_ =
        random_.vector<int32_t>(shape_.m, 0, shape_.segment_size > 0 ? kMaxOutliers : 0);
    outliers_.resize(shape_.m * kMaxOutliers);
    for (Outlier& outlier : outliers_) {
      outlier.k = static_cast<int32_t>(
          random_.uniform<int64_t>(0, std::max<int64_t>(shape_.segment_size, 1) - 1));
      outlier.excess = random_.uniform(-32768, 32767);
    }
  }

  int64_t y_size() const { return shape_.m * (shape_.n + 5); }

  int32_t accumulator(int64_t i, int64_t n, bool float_output) const {
    int64_t acc = start_[n];
    if (!row_factor_.empty()) acc += int64_t{row_factor_[i]} * column_factor_[n];
    const int64_t row = row_offset_.empty() ? i * x_stride_ : row_offset_[i];
    for (int64_t s = 0; s < shape_.segments; ++s) {
      for (int64_t k = 0; k < shape_.segment_size; ++k) {
        acc += int64_t{x_->data()[row + segment_offset_[s] + k - origin_]} *
               weight_[(n * shape_.segments + s) * shape_.segment_size + k];
      }
    }
    const bool has_outliers = float_output && !outlier_count_.empty();
    for (int64_t o = 0; has_outliers && o < outlier_count_[i]; ++o) {
      const auto [k, excess] = outliers_[i * kMaxOutliers + o];
      acc += int64_t{excess} * weight_[n * shape_.segments * shape_.segment_size + k];
    }
    EXPECT_EQ(acc, static_cast<int32_t>(acc));
    return static_cast<int32_t>(acc);
  }

  bool is_small() const {
    return std::ranges::all_of(multiplier_,
                               [](float m) { return std::abs(m) <= kSmallMultiplier; }) &&
           std::ranges::all_of(bias_, [](float b) { return std::abs(b) <= kSmallBias; });
  }

  void fill_x(uint8_t value) { std::fill_n(x_->data(), x_->size(), value); }

  Shape shape_;
  Random random_;
  std::unique_ptr<PageGuarded<uint8_t>> x_;
  int64_t origin_ = 0;  // offset of the first byte of x_
  int64_t x_stride_ = 0;
  std::vector<int64_t> row_offset_;
  std::vector<int64_t> segment_offset_;
  std::vector<int8_t> weight_, packed_;
  std::vector<int32_t> start_;
  std::vector<float> multiplier_, bias_;
  Requantize requantize_;
  float float_lo_ = -kInf, float_hi_ = kInf;
  FloatActivation activation_ = FloatActivation::kNone;
  bool has_zeros_ = false;
  int64_t panel_stride_ = 0;
  std::vector<int32_t> row_factor_, column_factor_;  // empty: none
  std::vector<float> row_multiplier_;
  static constexpr int kMaxOutliers = 5;  // per row
  std::vector<int32_t> outlier_count_;
  std::vector<Outlier> outliers_;

 private:
  void make_rows(Rows rows) {
    const auto [m, n, segments, size] = shape_;
    segment_offset_.resize(segments);
    std::vector<int64_t> starts;  // of rows
    if (rows == Rows::kOverlapping) {
      for (int64_t& offset : segment_offset_) offset = random_.uniform<int64_t>(-50, 200);
      for (int64_t i = 0; i < m; ++i) {
        starts.push_back(random_.uniform<int64_t>(-100, 3 * m));
        row_offset_.push_back(starts.back());
      }
    } else if (rows == Rows::kImage) {
      const int64_t width = m % 14 == 0 ? 14 : m % 12 == 0 ? 12 : m % 5 == 0 ? 5 : m;
      const int64_t pixel = round_up(size, 3) / 3, pitch = width * pixel + 2 * pixel;
      for (int64_t s = 0; s < segments; ++s) segment_offset_[s] = s * pitch;
      for (int64_t i = 0; i < m; ++i) {
        starts.push_back(i / width * pitch + i % width * pixel);
        row_offset_.push_back(starts.back());
      }
    } else {
      std::iota(segment_offset_.begin(), segment_offset_.end(), 0);
      for (int64_t& offset : segment_offset_) offset *= size;
      x_stride_ = segments * size + (rows == Rows::kStrided ? 13 : 0);
      for (int64_t i = 0; i < m; ++i) starts.push_back(i * x_stride_);
    }
    const auto [first_row, last_row] = std::minmax_element(starts.begin(), starts.end());
    const auto [first, last] = std::minmax_element(segment_offset_.begin(), segment_offset_.end());
    origin_ = *first_row + *first;
    const int64_t bytes = *last_row + *last + size - origin_;
    x_ = std::make_unique<PageGuarded<uint8_t>>(random_.full_range<uint8_t>(bytes),
                                                PageGuarded<uint8_t>::Side::kAfter, 3);
  }
};

struct Range {
  int64_t m_begin, m_end, n_begin, n_end;
};

template <class T>
bool equal(T a, T b) {
  return a == b || (a != a && b != b);  // a NaN's payload is not specified
}

// Compares `kernel` with `expected`, with and without `small` where it applies.
template <class T>
void expect_output(const Kernel<Fn>& kernel, const Problem& problem, const Range& range, bool small,
                   const Guarded<T>& expected) {
  Guarded<T> actual(problem.y_size(), 3);
  Args args = problem.args(actual.data());
  args.small = small;
  Scratch scratch(scratch_size(args, range.m_end - range.m_begin));
  kernel.run(args, range.m_begin, range.m_end, range.n_begin, range.n_end, scratch.data());
  for (int64_t i = 0; i < problem.y_size(); ++i) {
    ASSERT_TRUE(equal(actual.data()[i], expected.data()[i]))
        << name(kernel.isa) << " " << problem.shape_ << " row " << i / args.y_stride << " column "
        << i % args.y_stride << ": " << +actual.data()[i] << ", scalar " << +expected.data()[i];
  }
  EXPECT_TRUE(actual.intact()) << name(kernel.isa) << " " << problem.shape_;
  EXPECT_TRUE(scratch.intact()) << name(kernel.isa) << " " << problem.shape_;
}

// Runs `kernel` over `range` and compares with scalar; elements outside must stay poisoned.
template <class T>
void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& problem, const Range& range) {
  Guarded<T> expected(problem.y_size());
  const Args args = problem.args(expected.data());
  kernels().back().run(args, range.m_begin, range.m_end, range.n_begin, range.n_end, nullptr);
  expect_output(kernel, problem, range, false, expected);
  if (problem.is_small() && !testing::Test::HasFatalFailure()) {
    expect_output(kernel, problem, range, true, expected);
  }
}

[[maybe_unused]] void expect_equals_scalar(const Kernel<Fn>& kernel, const Problem& problem) {
  const Range all = {0, problem.shape_.m, 0, problem.shape_.n};
  expect_equals_scalar<uint8_t>(kernel, problem, all);
  expect_equals_scalar<int16_t>(kernel, problem, all);
  expect_equals_scalar<float>(kernel, problem, all);
  expect_equals_scalar<int32_t>(kernel, problem, all);
}

// Every kernel that this machine supports, and tiles also for products that are too small to pay.
std::vector<Kernel<Fn>> tested_kernels() {
  std::vector<Kernel<Fn>> tested = test::runnable(kernels());
#if defined(__x86_64__)
  if (tested.front().isa == Isa::kAmxInt8) tested.push_back({Isa::kAmxInt8, amx_int8_tiles});
#endif
  return tested;
}

[[maybe_unused]] std::string name_of(const testing::TestParamInfo<Kernel<Fn>>& info) {
  const bool is_listed = std::ranges::any_of(
      kernels(), [&](const Kernel<Fn>& kernel) { return kernel.run == info.param.run; });
  return name(info.param.isa) + std::string(is_listed ? "" : "_tiles");
}

}  // namespace
}  // namespace qnative::gemm
