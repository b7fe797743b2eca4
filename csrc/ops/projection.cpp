#include "projection.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "dispatch.h"
#include "parallel.h"
#include "quantized_rows.h"

namespace qnative::ops {
namespace {

constexpr int64_t kHalfGrain = 1 << 17;  // multiply-adds a task

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

float* copy_padded(const at::Tensor& values, int64_t n, Scratch& scratch) {
  float* copy = scratch.take<float>(padded(n));
  if (values.defined()) {
    std::memcpy(copy, values.expect_contiguous()->const_data_ptr<float>(), n * sizeof(float));
  }
  std::fill(copy + (values.defined() ? n : 0), copy + padded(n), 0.0f);
  return copy;
}

// product(m_begin, m_end, n_begin, n_end, task) for parts of rows [begin, end) and n columns, on as
// many threads.
template <class F>
void share_out(int64_t wanted, int64_t begin, int64_t end, int64_t n, const F& product) {
  const int64_t rows = end - begin, panels = padded(n) / 16;
  // A task reads the weights once for all of its rows.
  const bool by_rows = rows >= 32 * wanted;
  const int64_t tasks = std::min(wanted, by_rows ? rows : panels);
  run_tasks(tasks, [&](int64_t task) {
    const Part part = part_of(by_rows ? rows : panels, tasks, task);
    if (by_rows) {
      product(begin + part.begin, begin + part.end, 0, n, task);
    } else {
      product(begin, end, 16 * part.begin, std::min(16 * part.end, n), task);
    }
  });
}

}  // namespace

int64_t ProjectionSizes::scratch_bytes() const {
  return QuantizedRows::scratch_bytes(rows, k) + Scratch::bytes<std::byte>(slots * kernel_bytes) +
         Scratch::bytes<float>(refined_rows * refined_columns) +
         Scratch::bytes<float>(refined_columns);
}

ProjectionWorkspace::ProjectionWorkspace(const ProjectionSizes& sizes, Scratch& scratch)
    : rows(sizes.rows, sizes.k, {}, scratch),
      kernel(scratch.take<std::byte>(sizes.slots * sizes.kernel_bytes)),
      kernel_bytes(sizes.kernel_bytes),
      refinement(scratch.take<float>(sizes.refined_rows * sizes.refined_columns)),
      zeros(scratch.take<float>(sizes.refined_columns)) {
  std::fill_n(zeros, sizes.refined_columns, 0.0f);
}

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
  sizes.k = std::max(sizes.k, k_);
  sizes.kernel_bytes =
      std::max(sizes.kernel_bytes, Scratch::bytes<std::byte>(gemm::scratch_size(args, rows)));
}

int64_t Projection::count_tasks(int64_t rows) const {
  return ops::count_tasks(rows * n_ * k_, is_int8_ ? kProductGrain : kHalfGrain);
}

void Projection::reserve_refinement(int64_t rows, int64_t columns, ProjectionSizes& sizes) const {
  if (!is_int8_) return;
  sizes.refined_rows = std::max(sizes.refined_rows, rows);
  // They may begin within a panel.
  sizes.refined_columns = std::max(sizes.refined_columns, padded(columns + 15));
}

gemm::Args Projection::int8_product(int64_t n_begin, const ProjectionWorkspace& workspace) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr int64_t kNoOffset = 0;
  gemm::Args args{};
  args.x = workspace.rows.q;
  args.x_stride = workspace.rows.stride;
  args.segment_offset = &kNoOffset;
  args.segments = 1;
  args.segment_size = k_;
  args.weight = static_cast<const int8_t*>(weight_) + gemm::panels_size(n_begin, 1, k_);
  args.start = start_ + n_begin;
  args.multiplier = multiplier_ + n_begin;
  args.n = n_ - n_begin;
  args.float_output = true;
  args.float_lo = -kInfinity;
  args.float_hi = kInfinity;
  args.column_factor = column_sum_ + n_begin;
  workspace.rows.describe(args);
  return args;
}

void Projection::run(const float* x, int64_t x_stride, int64_t begin, int64_t end, float* y,
                     int64_t y_stride, const ProjectionWorkspace& workspace, int64_t slot) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int64_t tasks = count_tasks(end - begin);
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
    share_out(tasks, begin, end, n_,
              [&](int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, int64_t) {
                gemm(args, m_begin, m_end, n_begin, n_end);
              });
    return;
  }
  run_parts(end - begin, k_, kQuantizeGrain, [&](int64_t from, int64_t to) {
    for (int64_t i = begin + from; i < begin + to; ++i) {
      workspace.rows.quantize(x + i * x_stride, k_, i);
    }
  });
  static auto& gemm = select(gemm::kernels());
  gemm::Args args = int8_product(0, workspace);
  args.bias = bias_;
  args.y = y;
  args.y_stride = y_stride;
  share_out(tasks, begin, end, n_,
            [&](int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, int64_t task) {
              gemm(args, m_begin, m_end, n_begin, n_end,
                   workspace.kernel + (slot + task) * workspace.kernel_bytes);
            });
}

void Projection::refine(const float* x, int64_t x_stride, int64_t begin, int64_t end,
                        int64_t n_begin, int64_t n_end, float* y, int64_t y_stride,
                        const ProjectionWorkspace& workspace) const {
  run_parts(end - begin, k_, kQuantizeGrain, [&](int64_t from, int64_t to) {
    Scratch scratch(Scratch::bytes<float>(k_));
    float* const rest = scratch.take<float>(k_);
    for (int64_t i = begin + from; i < begin + to; ++i) {
      workspace.rows.subtract(x + i * x_stride, k_, i, rest);
      workspace.rows.quantize(rest, k_, i);
    }
  });
  static auto& gemm = select(gemm::kernels());
  const int64_t first = n_begin / 16 * 16;
  gemm::Args args = int8_product(first, workspace);
  args.n = n_end - first;
  args.bias = workspace.zeros;
  args.y = workspace.refinement;
  args.y_stride = args.n;
  const int64_t tasks = ops::count_tasks((end - begin) * args.n * k_, kProductGrain);
  share_out(tasks, begin, end, args.n,
            [&](int64_t m_from, int64_t m_to, int64_t n_from, int64_t n_to, int64_t task) {
              gemm(args, m_from, m_to, n_from, n_to,
                   workspace.kernel + task * workspace.kernel_bytes);
              for (int64_t i = m_from; i < m_to; ++i) {
                const float* const from = workspace.refinement + i * args.n;
                float* const to = y + i * y_stride + first;
                for (int64_t n = std::max(n_from, n_begin - first); n < n_to; ++n) to[n] += from[n];
              }
            });
}

}  // namespace qnative::ops
