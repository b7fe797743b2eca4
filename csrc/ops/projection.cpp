#include "projection.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "dispatch.h"
#include "parallel.h"
#include "quantized_rows.h"

namespace qnative::ops {
namespace {

constexpr int64_t kInt8Grain = 1 << 20;  // multiplications of a task
constexpr int64_t kHalfGrain = 1 << 17;

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

float* copy_padded(const at::Tensor& values, int64_t n, Scratch& scratch) {
  float* copy = scratch.take<float>(padded(n));
  if (values.defined()) {
    std::memcpy(copy, values.expect_contiguous()->const_data_ptr<float>(), n * sizeof(float));
  }
  std::fill(copy + (values.defined() ? n : 0), copy + padded(n), 0.0f);
  return copy;
}

}  // namespace

int64_t ProjectionSizes::scratch_bytes() const {
  return Scratch::bytes<uint8_t>(rows * row_bytes) + Scratch::bytes<int32_t>(rows) +
         Scratch::bytes<float>(rows) + Scratch::bytes<std::byte>(slots * kernel_bytes);
}

ProjectionWorkspace::ProjectionWorkspace(const ProjectionSizes& sizes, Scratch& scratch)
    : rows(scratch.take<uint8_t>(sizes.rows * sizes.row_bytes)),
      row_factor(scratch.take<int32_t>(sizes.rows)),
      row_multiplier(scratch.take<float>(sizes.rows)),
      kernel(scratch.take<std::byte>(sizes.slots * sizes.kernel_bytes)),
      kernel_bytes(sizes.kernel_bytes) {}

int64_t Projection::scratch_bytes(int64_t n) {
  return 2 * Scratch::bytes<int32_t>(padded(n)) + 2 * Scratch::bytes<float>(padded(n));
}

Projection::Projection(const char* op, int64_t n, int64_t k, const at::Tensor& weight,
                       const at::Tensor& weight_scale, const at::Tensor& bias, Scratch& scratch)
    : n_(n),
      k_(k),
      weight_(weight.const_data_ptr()),
      is_int8_(weight.scalar_type() == at::kChar),
      start_(nullptr),
      column_sum_(nullptr),
      multiplier_(nullptr),
      bias_(copy_padded(bias, n, scratch)) {
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
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(multiplier_[i] > 0 && std::isfinite(multiplier_[i]), "qnative::", op,
                ": weight_scales must be positive and finite, got ", multiplier_[i],
                " for output channel ", i);
  }
}

void Projection::reserve(int64_t rows, ProjectionSizes& sizes) const {
  if (!is_int8_) return;
  gemm::Args args{};
  args.segments = 1;
  args.segment_size = k_;
  sizes.rows = std::max(sizes.rows, rows);
  sizes.row_bytes = std::max(sizes.row_bytes, quantized_stride(k_));
  sizes.kernel_bytes =
      std::max(sizes.kernel_bytes, Scratch::bytes<std::byte>(gemm::scratch_size(args, rows)));
}

int64_t Projection::count_tasks(int64_t rows) const {
  return ops::count_tasks(rows * n_ * k_, is_int8_ ? kInt8Grain : kHalfGrain);
}

void Projection::run(const float* x, int64_t x_stride, int64_t begin, int64_t end, float* y,
                     int64_t y_stride, const ProjectionWorkspace& workspace, int64_t slot) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int64_t rows = end - begin, panels = padded(n_) / 16;
  const int64_t wanted = count_tasks(rows);
  // A task reads the weights once for all of its rows.
  const bool by_rows = rows >= 32 * wanted;
  const int64_t tasks = std::min(wanted, by_rows ? rows : panels);
  const auto share_out = [&](const auto& product) {
    run_tasks(tasks, [&](int64_t task) {
      const Part part = part_of(by_rows ? rows : panels, tasks, task);
      if (by_rows) {
        product(begin + part.begin, begin + part.end, 0, n_, slot + task);
      } else {
        product(begin, end, 16 * part.begin, std::min(16 * part.end, n_), slot + task);
      }
    });
  };
  if (!is_int8_) {
    static auto& gemm = select(gemm_fp16::kernels());
    const gemm_fp16::Args args{.x = x,
                               .x_stride = x_stride,
                               .k = k_,
                               .weight = static_cast<const uint16_t*>(weight_),
                               .bias = bias_,
                               .n = n_,
                               .y = y,
                               .y_stride = y_stride,
                               .half_output = false,
                               .activation = FloatActivation::kNone,
                               .lo = -kInfinity,
                               .hi = kInfinity};
    share_out([&](int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, int64_t) {
      gemm(args, m_begin, m_end, n_begin, n_end);
    });
    return;
  }
  const QuantizedRows quantized = {.q = workspace.rows,
                                   .stride = quantized_stride(k_),
                                   .scale = workspace.row_multiplier,
                                   .zero_point = workspace.row_factor};
  constexpr int64_t kQuantizeGrain = 32 * 1024;
  run_parts(rows, k_, kQuantizeGrain, [&](int64_t from, int64_t to) {
    for (int64_t i = begin + from; i < begin + to; ++i) {
      quantize_row(x + i * x_stride, k_, i, quantized);
    }
  });
  static auto& gemm = select(gemm::kernels());
  constexpr int64_t kNoOffset = 0;
  gemm::Args args{};
  args.x = workspace.rows;
  args.x_stride = quantized.stride;
  args.segment_offset = &kNoOffset;
  args.segments = 1;
  args.segment_size = k_;
  args.weight = static_cast<const int8_t*>(weight_);
  args.start = start_;
  args.multiplier = multiplier_;
  args.bias = bias_;
  args.n = n_;
  args.y = y;
  args.y_stride = y_stride;
  args.float_output = true;
  args.float_lo = -kInfinity;
  args.float_hi = kInfinity;
  args.row_factor = workspace.row_factor;
  args.column_factor = column_sum_;
  args.row_multiplier = workspace.row_multiplier;
  share_out([&](int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, int64_t task) {
    gemm(args, m_begin, m_end, n_begin, n_end, workspace.kernel + task * workspace.kernel_bytes);
  });
}

}  // namespace qnative::ops
