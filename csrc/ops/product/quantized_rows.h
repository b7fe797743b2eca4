#pragma once

#include <ATen/core/ATen_fwd.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

#include "common/scratch.h"
#include "gemm/gemm.h"

// Rows of float32 as uint8, each with a scale and a zero point of its own, as gemm kernels take
// them. The few values of a row that are much larger than the others do not set the scale: the
// part of them that a byte cannot hold is added to the sums.
namespace qnative::ops {

// The most values of a row that may not fit in a byte.
constexpr int64_t kMaxOutliers = 4;
// The least work of a task that quantizes rows, in floats.
constexpr int64_t kQuantizeGrain = 32 * 1024;

struct QuantizedRows {
  // `rows` rows of up to k values, each followed by copies of the values at `repeated`.
  QuantizedRows(int64_t rows, int64_t k, at::IntArrayRef repeated, Scratch& scratch);
  static int64_t scratch_bytes(int64_t rows, int64_t k, int64_t repeated = 0);

  // Row i becomes x[0..k), the copies, and zeros up to whole groups of four.
  void quantize(const float* x, int64_t k, int64_t i) const;
  // x[0..k) less what row i became of it.
  void subtract(const float* x, int64_t k, int64_t i, float* difference) const;
  // Sets the arguments of the product for the rows from `first` on.
  void describe(gemm::Args& product, int64_t first = 0) const;

  uint8_t* q;  // [rows][stride]
  int64_t stride;

 private:
  void add_outlier(int64_t i, int32_t k, int32_t excess) const;

  at::IntArrayRef repeated_;
  float* scale_;         // NaN for a row with a value that is not finite
  int32_t* zero_point_;  // negated
  int32_t* outlier_count_;
  gemm::Outlier* outliers_;  // [rows][outlier_stride_]
  int64_t outlier_stride_;
};

}  // namespace qnative::ops
