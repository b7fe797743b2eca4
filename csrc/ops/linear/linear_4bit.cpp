#include <torch/library.h>

#include <algorithm>
#include <limits>

#include "common/activation.h"
#include "common/borrow.h"
#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "linear/layout_4bit.h"
#include "product/rows.h"
#include "product/weight.h"
#include "qnative/ops/linear.h"

namespace qnative::ops {
namespace {

constexpr const char* kOp4Bit = "linear_4bit";
constexpr int64_t kQuantizeGrain4Bit = 32 * 1024;     // floats a task
constexpr int64_t kBlockBytes4Bit = 4 * 1024 * 1024;  // of quantized rows at a time

// All that constants and shapes determine, checked.
template <class Int>
struct Plan4Bit {
  gemm_4bit::Layout layout;
  int64_t n;
  c10::SmallVector<Int, at::kDimVectorStaticSize> y_sizes;
};

template <class Int>
Plan4Bit<Int> plan_4bit(const at::Tensor& x, const PackedWeight& w, int64_t group_size,
                        const Activation& activation, at::DeviceType device) {
  const gemm_4bit::Layout layout = layout_4bit(kOp4Bit, w.shape, group_size);
  const int64_t n = w.shape[0];
  check_tensor(kOp4Bit, "x", x, device);
  check_dtype(kOp4Bit, "x", x, at::kFloat);
  auto y_sizes = linear_sizes<Int>(kOp4Bit, x, n, layout.k);
  check_packed_4bit(kOp4Bit, w.data, layout, n, device);
  TORCH_CHECK(!w.scale.defined(), "qnative::", kOp4Bit,
              ": scales are inside a packed 4-bit weight, got scale ", w.scale.sym_sizes());
  check_bias(kOp4Bit, w.bias, Int(n), device);
  check_activation(kOp4Bit, activation, Functions::kAllowed);
  return {layout, n, std::move(y_sizes)};
}

at::Tensor linear_4bit_meta(const at::Tensor& x, const PackedWeight& w, int64_t group_size,
                            const Activation& activation) {
  const auto plan = plan_4bit<c10::SymInt>(x, w, group_size, activation, at::kMeta);
  return at::empty_symint(plan.y_sizes, x.options());
}

// The product of rows [0, m) in parallel.
void multiply_4bit(const gemm_4bit::Args& args, int64_t m) {
  static auto& run = select(gemm_4bit::kernels());
  const int64_t tasks = count_tasks(m * args.layout.k * args.n, kProductGrain);
  const ColumnUnits units = column_units(args.n, tasks);
  const Grid grid = divide(tasks, m, 1, units.count, units.size);
  run_tasks(grid.row_parts * grid.column_parts, [&](int64_t task) {
    const Part rows = part_of(m, grid.row_parts, task / grid.column_parts);
    const Part columns = part_of(units.count, grid.column_parts, task % grid.column_parts);
    run(args, rows.begin, rows.end, columns.begin * units.size, columns.end * units.size);
  });
}

at::Tensor run_4bit(const Plan4Bit<int64_t>& plan, const at::Tensor& x, const PackedWeight& w,
                    const Activation& activation) {
  static auto& quantize = select(gemm_4bit::quantize_kernels());
  at::Tensor y = empty(plan.y_sizes, at::kFloat);
  if (y.numel() == 0) return y;
  const gemm_4bit::Layout& layout = plan.layout;
  const int64_t n = plan.n, k = layout.k, groups = layout.groups(), m = x.numel() / k;
  const int64_t block = std::clamp<int64_t>(kBlockBytes4Bit / layout.row_bytes(), 1, m);
  const int64_t padded_n = round_up(n, kPanelColumns);
  Scratch scratch(Scratch::bytes<float>(padded_n) +
                  Scratch::bytes<int8_t>(block * layout.row_bytes()) +
                  Scratch::bytes<int32_t>(block * groups) + Scratch::bytes<float>(block * groups));
  auto* const bias = scratch.take<float>(padded_n);
  std::fill_n(bias, padded_n, 0.0f);
  if (w.bias) std::copy_n(w.bias->expect_contiguous()->const_data_ptr<float>(), n, bias);
  const gemm_4bit::Rows rows{.q = scratch.take<int8_t>(block * layout.row_bytes()),
                             .start = scratch.take<int32_t>(block * groups),
                             .scale = scratch.take<float>(block * groups)};
  const auto dense = x.expect_contiguous();
  for (int64_t begin = 0; begin < m; begin += block) {
    const int64_t count = std::min(block, m - begin);
    const float* const from = dense->const_data_ptr<float>() + begin * k;
    run_parts(count, k, kQuantizeGrain4Bit, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) quantize(from + i * k, layout, rows, i);
    });
    multiply_4bit({.layout = layout,
                   .x = rows,
                   .weight = w.data.const_data_ptr<uint8_t>(),
                   .bias = bias,
                   .n = n,
                   .y = y.mutable_data_ptr<float>() + begin * n,
                   .y_stride = n,
                   .activation = activation.function,
                   .lo = static_cast<float>(activation.min),
                   .hi = static_cast<float>(activation.max)},
                  count);
  }
  return y;
}

}  // namespace

at::Tensor linear_4bit(const at::Tensor& x, const PackedWeight& w, int64_t group_size,
                       const Activation& activation) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_4bit<int64_t>(x, w, group_size, activation, at::kCPU);
  return run_4bit(plan, x, w, activation);
}

namespace {

// The op of the schema.
template <auto kRun, class Ints, class Int>
at::Tensor linear_4bit_op(const at::Tensor& x, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, Ints weight_shape, Int group_size,
                          std::string_view activation, at::ArrayRef<double> activation_args) {
  return kRun(x, BorrowedWeight(weight, at::Tensor(), bias, concrete(weight_shape)),
              concrete(group_size),
              parse_activation(kOp4Bit, activation, activation_args, Functions::kAllowed));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_4bit", TORCH_FN((linear_4bit_op<linear_4bit, at::IntArrayRef, int64_t>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_4bit",
         TORCH_FN((linear_4bit_op<linear_4bit_meta, c10::SymIntArrayRef, c10::SymInt>)));
}

}  // namespace qnative::ops
