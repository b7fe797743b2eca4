#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>

#include "common/scratch.h"
#include "gemm/gemm.h"
#include "product/quantized_rows.h"

// Products of float32 rows with packed weights, in float32: what recurrent ops do with their input
// and their state. int8 weights: each row is quantized to uint8 with a scale and a zero point of
// its own. float16 weights: float32 arithmetic. No function shares work out to threads.
namespace qnative::ops {

// Rows of float32: row i begins at x + i * stride. int8 products read row first + i of `quantized`.
struct ProjectionRows {
  const float* x;
  int64_t stride;
  const QuantizedRows& quantized;
  int64_t first = 0;
};

// y[i][n] = sum_k x[i][k] * weight[n][k] + bias[n]
class Projection {
 public:
  // weight: packed, checked. weight_scale: float32 [n], undefined for float16. bias: float32 [n] or
  // undefined. An error names the first weight_scale that is not positive and finite.
  Projection(const char* op, int64_t n, int64_t k, const at::Tensor& weight,
             const at::Tensor& weight_scale, const at::Tensor& bias, Scratch& scratch);
  static int64_t scratch_bytes(int64_t n);

  int64_t k() const { return k_; }
  bool is_int8() const { return is_int8_; }
  // Bytes that a call of run() or refine() needs for itself, of that many rows at most.
  int64_t kernel_bytes(int64_t rows) const;

  // Prepares rows [begin, end) for run(): int8 quantizes them.
  void prepare(const ProjectionRows& rows, int64_t begin, int64_t end) const;
  // Rows [begin, end) and columns [n_begin, n_end), n_begin a multiple of 16. y: column n_begin of
  // row 0.
  void run(const ProjectionRows& rows, int64_t begin, int64_t end, int64_t n_begin, int64_t n_end,
           float* y, int64_t y_stride, std::byte* kernel) const;
  // int8 without the bias, of `count` rows of `rows` from `first` on.
  void run_rest(const QuantizedRows& rows, int64_t first, int64_t count, int64_t n_begin,
                int64_t n_end, float* y, int64_t y_stride, std::byte* kernel) const;

 private:
  void run_int8(const QuantizedRows& rows, int64_t first, const float* bias, int64_t begin,
                int64_t end, int64_t n_begin, int64_t n_end, float* y, int64_t y_stride,
                std::byte* kernel) const;

  int64_t k_;
  const void* weight_;
  bool is_int8_;
  const int32_t *start_, *column_sum_;        // int8
  const float *multiplier_, *bias_, *zeros_;  // multiplier, zeros: int8
};

}  // namespace qnative::ops
