#include "rnn/projection.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "blocks.h"
#include "common/dispatch.h"
#include "gemm_fp16/gemm_fp16.h"

namespace qnative::ops {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

int64_t padded(int64_t n) { return round_up(n, kPanelColumns); }

float* copy_padded(const at::Tensor& values, int64_t n, Scratch& scratch) {
  float* copy = scratch.take<float>(padded(n));
  if (values.defined()) {
    std::memcpy(copy, values.expect_contiguous()->const_data_ptr<float>(), n * sizeof(float));
  }
  std::fill(copy + (values.defined() ? n : 0), copy + padded(n), 0.0f);
  return copy;
}

}  // namespace

int64_t Projection::scratch_bytes(int64_t n) {
  return 2 * Scratch::bytes<int32_t>(padded(n)) + 3 * Scratch::bytes<float>(padded(n));
}

Projection::Projection(const char* op, int64_t n, int64_t k, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const at::Tensor& bias, Scratch& scratch)
    : k_(k),
      weight_(weight.const_data_ptr()),
      is_int8_(weight.scalar_type() == at::kChar),
      start_(nullptr),
      column_sum_(nullptr),
      multiplier_(nullptr),
      bias_(copy_padded(bias, n, scratch)),
      zeros_(nullptr) {
  if (!is_int8_) return;
  int32_t* const zeros = scratch.take<int32_t>(padded(n));
  int32_t* const sums = scratch.take<int32_t>(padded(n));
  std::fill_n(zeros, padded(n), 0);
  // Copied as bytes: a weight that is a view may lie at any address.
  std::memcpy(sums, static_cast<const int8_t*>(weight_) + gemm::panels_size(n, 1, k),
              padded(n) * sizeof(int32_t));
  start_ = zeros;
  column_sum_ = sums;
  multiplier_ = copy_padded(weight_scale, n, scratch);
  zeros_ = bias.defined() ? copy_padded({}, n, scratch) : bias_;
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(multiplier_[i] > 0 && std::isfinite(multiplier_[i]), "qnative::", op,
                ": weight_scales must be positive and finite, got ", multiplier_[i],
                " for output channel ", i);
  }
}

int64_t Projection::kernel_bytes(int64_t rows) const {
  if (!is_int8_) return 0;
  gemm::Args args{};
  args.segments = 1;
  args.segment_size = k_;
  return Scratch::bytes<std::byte>(gemm::scratch_size(args, rows));
}

void Projection::prepare(const ProjectionRows& rows, int64_t begin, int64_t end) const {
  if (!is_int8_) return;
  for (int64_t i = begin; i < end; ++i) {
    rows.quantized.quantize(rows.x + i * rows.stride, k_, rows.first + i);
  }
}

void Projection::run(const ProjectionRows& rows, int64_t begin, int64_t end, int64_t n_begin,
                     int64_t n_end, float* y, int64_t y_stride, std::byte* kernel) const {
  if (is_int8_) {
    return run_int8(rows.quantized, rows.first, bias_, begin, end, n_begin, n_end, y, y_stride,
                    kernel);
  }
  static auto& gemm = select(gemm_fp16::kernels());
  const gemm_fp16::Args args{.x = rows.x,
                             .x_stride = rows.stride,
                             .k = k_,
                             .weight = static_cast<const uint16_t*>(weight_) + n_begin * k_,
                             .bias = bias_ + n_begin,
                             .n = n_end - n_begin,
                             .y = y,
                             .y_stride = y_stride,
                             .half_output = false,
                             .activation = FloatActivation::kNone,
                             .lo = -kInfinity,
                             .hi = kInfinity};
  gemm(args, begin, end, 0, args.n);
}

void Projection::run_rest(const QuantizedRows& rows, int64_t first, int64_t count, int64_t n_begin,
                          int64_t n_end, float* y, int64_t y_stride, std::byte* kernel) const {
  run_int8(rows, first, zeros_, 0, count, n_begin, n_end, y, y_stride, kernel);
}

void Projection::run_int8(const QuantizedRows& rows, int64_t first, const float* bias,
                          int64_t begin, int64_t end, int64_t n_begin, int64_t n_end, float* y,
                          int64_t y_stride, std::byte* kernel) const {
  static auto& gemm = select(gemm::kernels());
  static constexpr int64_t kNoOffset = 0;
  gemm::Args args{};
  args.x = rows.q + first * rows.stride;
  args.x_stride = rows.stride;
  args.segment_offset = &kNoOffset;
  args.segments = 1;
  args.segment_size = k_;
  args.weight = static_cast<const int8_t*>(weight_) + gemm::panels_size(n_begin, 1, k_);
  args.start = start_ + n_begin;
  args.multiplier = multiplier_ + n_begin;
  args.bias = bias + n_begin;
  args.n = n_end - n_begin;
  args.y = y;
  args.y_stride = y_stride;
  args.float_output = true;
  args.float_lo = -kInfinity;
  args.float_hi = kInfinity;
  args.column_factor = column_sum_ + n_begin;
  rows.describe(args, first);
  gemm(args, begin, end, 0, args.n, kernel);
}

}  // namespace qnative::ops
