#include "pool/pool.h"

#include <torch/library.h>

#include <algorithm>
#include <cstring>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/output.h"
#include "common/planned.h"
#include "common/plans.h"
#include "fp16/fp16.h"
#include "pool/window.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pool.h"

// One implementation for 1, 2 and 3 dimensions: `rank`.
namespace qnative::ops {
namespace {

constexpr const char* kMaxPool[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAvgPool[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr const char* kAdaptive[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                     "adaptive_avg_pool3d"};
constexpr const char* kAvgPoolFp16[] = {"avg_pool1d_fp16", "avg_pool2d_fp16", "avg_pool3d_fp16"};
constexpr const char* kAdaptiveFp16[] = {"adaptive_avg_pool1d_fp16", "adaptive_avg_pool2d_fp16",
                                         "adaptive_avg_pool3d_fp16"};

// The number that a window's sum is divided by.
struct Divisor {
  bool count_padding = false;
  std::optional<int64_t> fixed;

  int64_t of(const Run& run) const {
    if (fixed) return *fixed;
    return count_padding ? run.padded_taps : run.taps();
  }
};

pool::Window kernel_window(const Run& run) {
  return {.x = run.x,
          .row_stride = run.row_stride,
          .pixel_stride = run.pixel_stride,
          .rows = run.rows,
          .columns = run.columns,
          .channels = run.channels,
          .outputs = run.outputs,
          .output_stride = run.output_stride,
          .planes = run.planes,
          .plane_stride = run.plane_stride};
}

// All that constants and shapes determine, checked.
template <class Int>
struct PoolPlan {
  const char* op;
  int64_t rank;
  Spatial<Int> size;                       // of y
  std::optional<PoolArgs<Int>> args = {};  // none: adaptive
  Divisor divisor = {};                    // of averages
};

// ---- plans: the first three leave it to the others to check the dtype of x ------------------

template <class Int>
PoolPlan<Int> plan_windows(const char* op, int64_t rank, const at::Tensor& x,
                           const BasicPoolWindow<Int>& window) {
  auto args = pool_args(op, rank, window);
  auto size = pool_size(op, x, args);
  return {op, rank, std::move(size), std::move(args)};
}

template <class Int>
PoolPlan<Int> plan_average(const char* op, int64_t rank, const at::Tensor& x,
                           const BasicPoolWindow<Int>& window) {
  for (const Int& dilation : window.dilation) {
    TORCH_CHECK(dilation == 1, "qnative::", op, ": dilation must be 1, got ",
                at::ArrayRef<Int>(window.dilation));
  }
  TORCH_CHECK(!window.divisor_override || *window.divisor_override != 0, "qnative::", op,
              ": divisor_override must not be 0");
  auto plan = plan_windows(op, rank, x, window);
  plan.divisor = {window.count_include_pad, window.divisor_override};
  return plan;
}

template <class Int>
PoolPlan<Int> plan_adaptive(const char* op, int64_t rank, const at::Tensor& x,
                            at::ArrayRef<Int> output_size) {
  check_image(op, at::symint::sizes<Int>(x), rank);
  return {op, rank, expand_triple(op, "output_size", output_size, rank, 0)};
}

template <class Int>
PoolPlan<Int> plan_max_pool(int64_t rank, const at::Tensor& x, const BasicPoolWindow<Int>& window) {
  const char* const op = kMaxPool[rank - 1];
  check_tensor(op, "x", x, kDevice<Int>);
  TORCH_CHECK(is_8bit(x.scalar_type()) || x.scalar_type() == at::kHalf, "qnative::", op,
              ": x must be Byte, Char or Half, got ", x.scalar_type());
  return plan_windows(op, rank, x, window);
}

template <class Int>
PoolPlan<Int> plan_avg_pool(int64_t rank, const QTensor& x, const BasicPoolWindow<Int>& window,
                            const OutputSpec& y) {
  const char* const op = kAvgPool[rank - 1];
  check_qtensor(op, "x", x, kDevice<Int>);
  check_output(op, y);
  scale_ratio(op, x, y);  // a window's is no larger
  return plan_average(op, rank, x.data, window);
}

template <class Int>
PoolPlan<Int> plan_adaptive_avg_pool(int64_t rank, const QTensor& x, at::ArrayRef<Int> output_size,
                                     const OutputSpec& y) {
  const char* const op = kAdaptive[rank - 1];
  check_qtensor(op, "x", x, kDevice<Int>);
  check_output(op, y);
  scale_ratio(op, x, y);  // a window's is no larger
  return plan_adaptive(op, rank, x.data, output_size);
}

template <class Int>
PoolPlan<Int> plan_avg_pool_fp16(int64_t rank, const at::Tensor& x,
                                 const BasicPoolWindow<Int>& window) {
  const char* const op = kAvgPoolFp16[rank - 1];
  check_half(op, "x", x, kDevice<Int>);
  return plan_average(op, rank, x, window);
}

template <class Int>
PoolPlan<Int> plan_adaptive_avg_pool_fp16(int64_t rank, const at::Tensor& x,
                                          at::ArrayRef<Int> output_size) {
  const char* const op = kAdaptiveFp16[rank - 1];
  check_half(op, "x", x, kDevice<Int>);
  return plan_adaptive(op, rank, x, output_size);
}

// ---- runs ------------------------------------------------------------------------------------

// A plan, and which pixels each output takes.
struct PoolSteps {
  // Axes take memory for each output of a row or column, which an empty batch may have any number
  // of.
  PoolSteps(const PoolPlan<int64_t>& its_plan, const at::Tensor& x) : plan(its_plan) {
    const bool is_empty = x.numel() == 0 || c10::multiply_integers(plan.size) == 0;
    if (is_empty) return;
    const auto size = image_size<int64_t>(x, plan.rank);
    axes = plan.args ? window_axes(size, plan.size, *plan.args) : adaptive_axes(size, plan.size);
  }

  PoolPlan<int64_t> plan;
  Spatial<Axis> axes = {};
};

void run_max(const PoolSteps& steps, const at::Tensor& x, const at::Tensor& y) {
  static auto& run_bytes = select(pool::max_kernels());
  static auto& run_halves = select(fp16::max_kernels());
  const PoolPlan<int64_t>& plan = steps.plan;
  if (y.numel() == 0) return;
  if (x.scalar_type() == at::kHalf) {
    for_runs(plan.op, x, plan.rank, steps.axes, y, [&](const Run& run) {
      run_halves(kernel_window(run), reinterpret_cast<uint16_t*>(run.y));
    });
    return;
  }
  const uint8_t flip = flip_of(x.scalar_type());
  for_runs(plan.op, x, plan.rank, steps.axes, y, [&](const Run& run) {
    // Dilation can step over the image: the maximum of nothing is the smallest value.
    if (run.taps() == 0) {
      std::memset(run.y, flip, run.outputs * run.channels);
    } else {
      run_bytes(kernel_window(run), flip, run.y);
    }
  });
}

void run_average(const PoolSteps& steps, const at::Tensor& x, const QParams& qparams,
                 const OutputSpec& output, const at::Tensor& y) {
  static auto& run_mean = select(pool::mean_kernels());
  const PoolPlan<int64_t>& plan = steps.plan;
  if (y.numel() == 0) return;
  const Requantize q = make_requantize(output);
  const uint8_t flip = flip_of(x.scalar_type());
  const int32_t zero_point = unsigned_zero_point(qparams.zero_point, x.scalar_type());
  for_runs(plan.op, x, plan.rank, steps.axes, y, [&](const Run& run) {
    const double divisor = static_cast<double>(plan.divisor.of(run));
    const auto multiplier = static_cast<float>(qparams.scale / (divisor * output.qparams.scale));
    run_mean(kernel_window(run), flip, zero_point, multiplier, q, run.y);
  });
}

void run_average_fp16(const PoolSteps& steps, const at::Tensor& x, const at::Tensor& y) {
  static auto& run_mean = select(fp16::mean_kernels());
  const PoolPlan<int64_t>& plan = steps.plan;
  if (y.numel() == 0) return;
  for_runs(plan.op, x, plan.rank, steps.axes, y, [&](const Run& run) {
    run_mean(kernel_window(run), static_cast<double>(plan.divisor.of(run)),
             reinterpret_cast<uint16_t*>(run.y));
  });
}

// ---- what the eager and the planned ops share ------------------------------------------------

struct MaxPoolOp {
  using Plan = PoolSteps;
  int64_t rank;
  Held<PoolWindow> window;

  Plan plan(Inputs x) const { return {plan_max_pool(rank, *x[0], *window), *x[0]}; }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"pool.max"}; }
  at::Tensor run(const Plan& steps, Inputs x) const {
    const at::Tensor y = empty_image(*x[0], rank, steps.plan.size, x[0]->scalar_type());
    run_max(steps, *x[0], y);
    return y;
  }
};

struct AvgPoolOp {
  using Plan = PoolSteps;
  int64_t rank;
  QParams x_qparams;
  Held<PoolWindow> window;
  OutputSpec output;

  Plan plan(Inputs x) const {
    return {plan_avg_pool(rank, BorrowedQTensor(*x[0], x_qparams), *window, output), *x[0]};
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"pool.mean"}; }
  at::Tensor run(const Plan& steps, Inputs x) const {
    const at::Tensor y = empty_image(*x[0], rank, steps.plan.size, output.dtype);
    run_average(steps, *x[0], x_qparams, output, y);
    return y;
  }
};

struct AdaptiveAvgPoolOp {
  using Plan = PoolSteps;
  int64_t rank;
  QParams x_qparams;
  IntList output_size;
  OutputSpec output;

  Plan plan(Inputs x) const {
    const BorrowedQTensor borrowed(*x[0], x_qparams);
    return {plan_adaptive_avg_pool<int64_t>(rank, borrowed, output_size, output), *x[0]};
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"pool.mean"}; }
  at::Tensor run(const Plan& steps, Inputs x) const {
    const at::Tensor y = empty_image(*x[0], rank, steps.plan.size, output.dtype);
    run_average(steps, *x[0], x_qparams, output, y);
    return y;
  }
};

// kernel_size, stride, padding
PoolWindow read_window(Arguments& arguments) {
  PoolWindow window{.kernel_size = arguments.ints()};
  window.stride = arguments.ints();
  window.padding = arguments.ints();
  return window;
}

// ---- Int = int64_t: CPU; c10::SymInt: Meta, which has nothing to run -------------------------

template <class Int>
constexpr bool kRuns = kDevice<Int> == at::kCPU;

template <class Int>
at::Tensor max_pool(int64_t rank, const at::Tensor& x, const BasicPoolWindow<Int>& window) {
  if constexpr (kRuns<Int>) {
    return run_op(MaxPoolOp{rank, Held<PoolWindow>::borrow(window)}, {&x});
  } else {
    const auto plan = plan_max_pool(rank, x, window);
    return empty_image(x, rank, plan.size, x.scalar_type());
  }
}

template <class Int>
QTensor avg_pool(int64_t rank, const QTensor& x, const BasicPoolWindow<Int>& window,
                 const OutputSpec& output) {
  if constexpr (kRuns<Int>) {
    const AvgPoolOp op{rank, x.qparams, Held<PoolWindow>::borrow(window), output};
    return {run_op(op, {&x.data}), output.qparams};
  } else {
    const auto plan = plan_avg_pool(rank, x, window, output);
    return {empty_image(x.data, rank, plan.size, output.dtype), output.qparams};
  }
}

template <class Int>
QTensor adaptive_avg_pool(int64_t rank, const QTensor& x, at::ArrayRef<Int> output_size,
                          const OutputSpec& output) {
  if constexpr (kRuns<Int>) {
    const AdaptiveAvgPoolOp op{rank, x.qparams, output_size, output};
    return {run_op(op, {&x.data}), output.qparams};
  } else {
    const auto plan = plan_adaptive_avg_pool(rank, x, output_size, output);
    return {empty_image(x.data, rank, plan.size, output.dtype), output.qparams};
  }
}

template <class Int>
at::Tensor avg_pool_fp16(int64_t rank, const at::Tensor& x, const BasicPoolWindow<Int>& window) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_avg_pool_fp16(rank, x, window);
  const at::Tensor y = empty_image(x, rank, plan.size, at::kHalf);
  if constexpr (kRuns<Int>) run_average_fp16({plan, x}, x, y);
  return y;
}

template <class Int>
at::Tensor adaptive_avg_pool_fp16(int64_t rank, const at::Tensor& x,
                                  at::ArrayRef<Int> output_size) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_adaptive_avg_pool_fp16(rank, x, output_size);
  const at::Tensor y = empty_image(x, rank, plan.size, at::kHalf);
  if constexpr (kRuns<Int>) run_average_fp16({plan, x}, x, y);
  return y;
}

}  // namespace

at::Tensor max_pool1d(const at::Tensor& x, const PoolWindow& window) {
  return max_pool<int64_t>(1, x, window);
}

at::Tensor max_pool2d(const at::Tensor& x, const PoolWindow& window) {
  return max_pool<int64_t>(2, x, window);
}

at::Tensor max_pool3d(const at::Tensor& x, const PoolWindow& window) {
  return max_pool<int64_t>(3, x, window);
}

QTensor avg_pool1d(const QTensor& x, const PoolWindow& window, const OutputSpec& y) {
  return avg_pool<int64_t>(1, x, window, y);
}

QTensor avg_pool2d(const QTensor& x, const PoolWindow& window, const OutputSpec& y) {
  return avg_pool<int64_t>(2, x, window, y);
}

QTensor avg_pool3d(const QTensor& x, const PoolWindow& window, const OutputSpec& y) {
  return avg_pool<int64_t>(3, x, window, y);
}

QTensor adaptive_avg_pool1d(const QTensor& x, at::IntArrayRef output_size, const OutputSpec& y) {
  return adaptive_avg_pool<int64_t>(1, x, output_size, y);
}

QTensor adaptive_avg_pool2d(const QTensor& x, at::IntArrayRef output_size, const OutputSpec& y) {
  return adaptive_avg_pool<int64_t>(2, x, output_size, y);
}

QTensor adaptive_avg_pool3d(const QTensor& x, at::IntArrayRef output_size, const OutputSpec& y) {
  return adaptive_avg_pool<int64_t>(3, x, output_size, y);
}

at::Tensor avg_pool1d_fp16(const at::Tensor& x, const PoolWindow& window) {
  return avg_pool_fp16<int64_t>(1, x, window);
}

at::Tensor avg_pool2d_fp16(const at::Tensor& x, const PoolWindow& window) {
  return avg_pool_fp16<int64_t>(2, x, window);
}

at::Tensor avg_pool3d_fp16(const at::Tensor& x, const PoolWindow& window) {
  return avg_pool_fp16<int64_t>(3, x, window);
}

at::Tensor adaptive_avg_pool1d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16<int64_t>(1, x, output_size);
}

at::Tensor adaptive_avg_pool2d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16<int64_t>(2, x, output_size);
}

at::Tensor adaptive_avg_pool3d_fp16(const at::Tensor& x, at::IntArrayRef output_size) {
  return adaptive_avg_pool_fp16<int64_t>(3, x, output_size);
}

std::unique_ptr<PlannedOp> plan_max_pool_op(int64_t rank, Arguments& arguments) {
  arguments.operand();
  PoolWindow window = read_window(arguments);
  window.dilation = arguments.ints();
  window.ceil_mode = arguments.flag();
  return make_planned(MaxPoolOp{rank, Held<PoolWindow>::own(std::move(window))}, arguments);
}

std::unique_ptr<PlannedOp> plan_avg_pool_op(int64_t rank, Arguments& arguments) {
  arguments.operand();
  const QParams x = arguments.qparams();
  PoolWindow window = read_window(arguments);
  window.ceil_mode = arguments.flag();
  window.count_include_pad = arguments.flag();
  if (rank > 1) window.divisor_override = arguments.optional<int64_t>();
  return make_planned(
      AvgPoolOp{rank, x, Held<PoolWindow>::own(std::move(window)), arguments.output()}, arguments);
}

std::unique_ptr<PlannedOp> plan_adaptive_avg_pool_op(int64_t rank, Arguments& arguments) {
  arguments.operand();
  const QParams x = arguments.qparams();
  const IntList output_size = arguments.ints();
  return make_planned(AdaptiveAvgPoolOp{rank, x, output_size, arguments.output()}, arguments);
}

// ---- the ops of the schemas ------------------------------------------------------------------

namespace {

template <int64_t kRank, class Int>
at::Tensor max_pool_op(const at::Tensor& x, at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                       at::ArrayRef<Int> padding, at::ArrayRef<Int> dilation, bool ceil_mode) {
  return max_pool<Int>(kRank, x,
                       {.kernel_size = kernel_size,
                        .stride = stride,
                        .padding = padding,
                        .dilation = dilation,
                        .ceil_mode = ceil_mode});
}

template <int64_t kRank, class Int>
at::Tensor avg_pool_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                       at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                       at::ArrayRef<Int> padding, bool ceil_mode, bool count_include_pad,
                       std::optional<int64_t> divisor_override, double y_scale,
                       int64_t y_zero_point, at::ScalarType y_dtype) {
  return avg_pool<Int>(kRank, BorrowedQTensor(x, {x_scale, x_zero_point}),
                       {.kernel_size = kernel_size,
                        .stride = stride,
                        .padding = padding,
                        .ceil_mode = ceil_mode,
                        .count_include_pad = count_include_pad,
                        .divisor_override = divisor_override},
                       {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <class Int>
at::Tensor avg_pool1d_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                         at::ArrayRef<Int> kernel_size, at::ArrayRef<Int> stride,
                         at::ArrayRef<Int> padding, bool ceil_mode, bool count_include_pad,
                         double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  return avg_pool_op<1, Int>(x, x_scale, x_zero_point, kernel_size, stride, padding, ceil_mode,
                             count_include_pad, std::nullopt, y_scale, y_zero_point, y_dtype);
}

template <int64_t kRank, class Int>
at::Tensor adaptive_avg_pool_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                                at::ArrayRef<Int> output_size, double y_scale, int64_t y_zero_point,
                                at::ScalarType y_dtype) {
  return adaptive_avg_pool<Int>(kRank, BorrowedQTensor(x, {x_scale, x_zero_point}), output_size,
                                {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

template <int64_t kRank, class Int>
at::Tensor avg_pool_fp16_op(const at::Tensor& x, at::ArrayRef<Int> kernel_size,
                            at::ArrayRef<Int> stride, at::ArrayRef<Int> padding, bool ceil_mode,
                            bool count_include_pad, std::optional<int64_t> divisor_override) {
  return avg_pool_fp16<Int>(kRank, x,
                            {.kernel_size = kernel_size,
                             .stride = stride,
                             .padding = padding,
                             .ceil_mode = ceil_mode,
                             .count_include_pad = count_include_pad,
                             .divisor_override = divisor_override});
}

template <class Int>
at::Tensor avg_pool1d_fp16_op(const at::Tensor& x, at::ArrayRef<Int> kernel_size,
                              at::ArrayRef<Int> stride, at::ArrayRef<Int> padding, bool ceil_mode,
                              bool count_include_pad) {
  return avg_pool_fp16_op<1, Int>(x, kernel_size, stride, padding, ceil_mode, count_include_pad,
                                  std::nullopt);
}

template <int64_t kRank, class Int>
at::Tensor adaptive_avg_pool_fp16_op(const at::Tensor& x, at::ArrayRef<Int> output_size) {
  return adaptive_avg_pool_fp16<Int>(kRank, x, output_size);
}

template <class Int>
void register_ops(torch::Library& m) {
  m.impl("max_pool1d", TORCH_FN((max_pool_op<1, Int>)));
  m.impl("max_pool2d", TORCH_FN((max_pool_op<2, Int>)));
  m.impl("max_pool3d", TORCH_FN((max_pool_op<3, Int>)));
  m.impl("avg_pool1d", TORCH_FN(avg_pool1d_op<Int>));
  m.impl("avg_pool2d", TORCH_FN((avg_pool_op<2, Int>)));
  m.impl("avg_pool3d", TORCH_FN((avg_pool_op<3, Int>)));
  m.impl("avg_pool1d_fp16", TORCH_FN(avg_pool1d_fp16_op<Int>));
  m.impl("avg_pool2d_fp16", TORCH_FN((avg_pool_fp16_op<2, Int>)));
  m.impl("avg_pool3d_fp16", TORCH_FN((avg_pool_fp16_op<3, Int>)));
  m.impl("adaptive_avg_pool1d", TORCH_FN((adaptive_avg_pool_op<1, Int>)));
  m.impl("adaptive_avg_pool2d", TORCH_FN((adaptive_avg_pool_op<2, Int>)));
  m.impl("adaptive_avg_pool3d", TORCH_FN((adaptive_avg_pool_op<3, Int>)));
  m.impl("adaptive_avg_pool1d_fp16", TORCH_FN((adaptive_avg_pool_fp16_op<1, Int>)));
  m.impl("adaptive_avg_pool2d_fp16", TORCH_FN((adaptive_avg_pool_fp16_op<2, Int>)));
  m.impl("adaptive_avg_pool3d_fp16", TORCH_FN((adaptive_avg_pool_fp16_op<3, Int>)));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) { register_ops<int64_t>(m); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { register_ops<c10::SymInt>(m); }

}  // namespace qnative::ops
