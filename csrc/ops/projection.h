#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "gemm/gemm.h"
#include "gemm_fp16/gemm_fp16.h"
#include "quantized_rows.h"
#include "scratch.h"

// Products of float32 rows with packed weights, in float32: what recurrent ops do with their input
// and their state. int8 weights: each row is quantized to uint8 with a scale and a zero point of
// its own. float16 weights: float32 arithmetic.
namespace qnative::ops {

// Temporary memory of products, for the largest of them.
struct ProjectionSizes {
  int64_t slots = 1;  // calls that run at the same time
  int64_t rows = 0;
  int64_t k = 0;  // of the rows
  int64_t kernel_bytes = 0;
  int64_t refined_rows = 0;
  int64_t refined_columns = 0;

  int64_t scratch_bytes() const;
};

struct ProjectionWorkspace {
  ProjectionWorkspace(const ProjectionSizes& sizes, Scratch& scratch);

  QuantizedRows rows;
  std::byte* kernel;  // [slots][kernel_bytes]
  int64_t kernel_bytes;
  float* refinement;  // [refined_rows][columns]
  float* zeros;       // [columns]
};

// y[i][n] = sum_k x[i][k] * weight[n][k] + bias[n]
class Projection {
 public:
  // weight: packed, checked. weight_scale: float32 [n], undefined for float16. bias: float32 [n] or
  // undefined. An error names the first weight_scale that is not positive and finite.
  Projection(const char* op, int64_t n, int64_t k, const at::Tensor& weight,
             const at::Tensor& weight_scale, const at::Tensor& bias, Scratch& scratch);
  static int64_t scratch_bytes(int64_t n);

  int64_t n() const { return n_; }
  // Raises `sizes` to what products of `rows` rows need.
  void reserve(int64_t rows, ProjectionSizes& sizes) const;
  // The same for refine() of `columns` columns.
  void reserve_refinement(int64_t rows, int64_t columns, ProjectionSizes& sizes) const;
  // How many threads a product of `rows` rows is worth.
  int64_t count_tasks(int64_t rows) const;
  // Rows [begin, end). Shares the work out to threads, unless it is called by a task, which then
  // has the slot to itself, and these rows of the workspace.
  void run(const float* x, int64_t x_stride, int64_t begin, int64_t end, float* y, int64_t y_stride,
           const ProjectionWorkspace& workspace, int64_t slot = 0) const;
  // After run() of the same rows, for int8: y of columns [n_begin, n_end) gets the product with
  // what rounding x to 8 bits lost of it, itself rounded to 8 bits.
  void refine(const float* x, int64_t x_stride, int64_t begin, int64_t end, int64_t n_begin,
              int64_t n_end, float* y, int64_t y_stride,
              const ProjectionWorkspace& workspace) const;

  bool is_int8() const { return is_int8_; }

 private:
  // Of the quantized rows and the columns from n_begin, a multiple of 16, on. bias, y and y_stride
  // are not set.
  gemm::Args int8_product(int64_t n_begin, const ProjectionWorkspace& workspace) const;

  int64_t n_, k_;
  const void* weight_;
  bool is_int8_;
  const int32_t *start_, *column_sum_;  // int8
  const float *multiplier_, *bias_;     // multiplier: int8
};

}  // namespace qnative::ops
