#include "product/quantized_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/dispatch.h"
#include "product/dynamic_qparams.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr float kPeak = 8;       // an outlier is that many times the mean magnitude of its row,
constexpr float kHighest = 128;  // and at most that many times what a byte holds

// Whole groups of four: the kernels read up to 3 bytes after a row.
int64_t padded_row(int64_t k) { return round_up(k, 4); }
int64_t outliers_of_row(int64_t repeated) { return kMaxOutliers + repeated; }

// Whether sums with outliers stay within int32.
bool can_have_outliers(int64_t k, int64_t repeated) {
  constexpr int64_t kMaxSum = (int64_t{1} << 31) / 128;
  constexpr auto kMaxCode = static_cast<int64_t>(255 * kHighest);
  return 255 * (k + repeated) + kMaxCode * outliers_of_row(repeated) < kMaxSum;
}

// The magnitude that a byte must reach: at most kMaxOutliers values of the row are larger, *count
// of them, at `positions`.
float find_outliers(const float* x, int64_t k, const quantize::Summary& row, int32_t* positions,
                    int64_t* count) {
  static auto& find_above = select(quantize::find_above_kernels());
  const float largest = std::max(-row.min, row.max);
  const float mean = row.magnitudes / static_cast<float>(k);
  float limit = std::max({kPeak * mean, largest / kHighest, std::numeric_limits<float>::min()});
  while (limit < largest) {
    *count = find_above(x, k, limit, positions, kMaxOutliers);
    if (*count <= kMaxOutliers) return limit;
    limit *= 2;
  }
  *count = 0;
  return largest;
}

}  // namespace

int64_t QuantizedRows::scratch_bytes(int64_t rows, int64_t k, int64_t repeated) {
  return Scratch::bytes<uint8_t>(rows * padded_row(k + repeated)) + Scratch::bytes<float>(rows) +
         2 * Scratch::bytes<int32_t>(rows) +
         Scratch::bytes<gemm::Outlier>(rows * outliers_of_row(repeated));
}

QuantizedRows::QuantizedRows(int64_t rows, int64_t k, at::IntArrayRef repeated, Scratch& scratch)
    : stride(padded_row(k + static_cast<int64_t>(repeated.size()))),
      repeated_(repeated),
      outlier_stride_(outliers_of_row(static_cast<int64_t>(repeated.size()))) {
  q = scratch.take<uint8_t>(rows * stride);
  scale_ = scratch.take<float>(rows);
  zero_point_ = scratch.take<int32_t>(rows);
  outlier_count_ = scratch.take<int32_t>(rows);
  outliers_ = scratch.take<gemm::Outlier>(rows * outlier_stride_);
}

void QuantizedRows::describe(gemm::Args& product, int64_t first) const {
  product.row_factor = zero_point_ + first;
  product.row_multiplier = scale_ + first;
  product.outlier_count = outlier_count_ + first;
  product.outliers = outliers_ + first * outlier_stride_;
  product.outlier_stride = outlier_stride_;
}

void QuantizedRows::add_outlier(int64_t i, int32_t k, int32_t excess) const {
  outliers_[i * outlier_stride_ + outlier_count_[i]++] = {.k = k, .excess = excess};
}

void QuantizedRows::quantize(const float* x, int64_t k, int64_t i) const {
  static auto& summarize = select(quantize::summarize_kernels());
  static auto& quantize = select(quantize::quantize_kernels());
  const auto repeats = static_cast<int64_t>(repeated_.size());
  uint8_t* const row = q + i * stride;
  uint8_t* const row_end = row + padded_row(k + repeats);
  outlier_count_[i] = 0;
  const quantize::Summary summary = summarize(x, k);
  if (!std::isfinite(summary.min) || !std::isfinite(summary.max)) {
    std::fill(row, row_end, uint8_t{0});
    scale_[i] = std::numeric_limits<float>::quiet_NaN();
    zero_point_[i] = 0;
    return;
  }
  int32_t positions[kMaxOutliers];
  int64_t count = 0;
  float limit = std::max(-summary.min, summary.max);
  if (can_have_outliers(k, repeats)) limit = find_outliers(x, k, summary, positions, &count);
  const float low = std::max(std::min(summary.min, 0.0f), -limit);
  const float high = std::min(std::max(summary.max, 0.0f), limit);
  const auto [scale, inverse_scale, zero_point] = dynamic_qparams(low, high);
  quantize(x, row, k, inverse_scale, {.zero_point = zero_point, .lo = 0, .hi = 255, .flip = 0});
  uint8_t* end = row + k;
  for (const int64_t source : repeated_) *end++ = row[source];
  std::fill(end, row_end, uint8_t{0});
  scale_[i] = scale;
  zero_point_[i] = -zero_point;
  for (int64_t o = 0; o < count; ++o) {
    const int32_t at = positions[o];
    const auto code = static_cast<int32_t>(std::nearbyint(x[at] * inverse_scale)) + zero_point;
    const int32_t excess = code - row[at];
    add_outlier(i, at, excess);
    for (int64_t r = 0; r < repeats; ++r) {
      const auto copy = static_cast<int32_t>(k + r);  // < 2^31: products are summed in int32
      if (repeated_[r] == at) add_outlier(i, copy, excess);
    }
  }
}

void QuantizedRows::subtract(const float* x, int64_t k, int64_t i, float* difference) const {
  static auto& dequantize = select(quantize::dequantize_kernels());
  const uint8_t* const row = q + i * stride;
  dequantize(row, difference, k, scale_[i], -zero_point_[i], 0);
  for (int64_t o = 0; o < outlier_count_[i]; ++o) {
    const auto [at, excess] = outliers_[i * outlier_stride_ + o];
    // Copies stand behind the k values.
    if (at < k) difference[at] = static_cast<float>(row[at] + excess + zero_point_[i]) * scale_[i];
  }
  for (int64_t j = 0; j < k; ++j) difference[j] = x[j] - difference[j];
}

}  // namespace qnative::ops
