#include <torch/library.h>

#include <bitset>
#include <cstring>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "fp16/fp16.h"
#include "pool/pool.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pool.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 64 * 1024;  // bytes read by a task
constexpr int64_t kMaxTaps = 1 << 23;  // kernels count in float32 and int32
using DimSet = std::bitset<64>;

// The dimensions to reduce; all of them for none or an empty list, as in torch.
DimSet reduced_dims(const char* op, const at::Tensor& x, at::OptionalIntArrayRef dim) {
  const int64_t rank = x.dim();
  TORCH_CHECK(rank <= 64, "qnative::", op, ": x must have at most 64 dimensions, got ", rank);
  DimSet reduced;
  if (!dim || dim->empty()) return reduced.set();
  // As in torch, a tensor of no dimensions takes 0 and -1.
  const int64_t end = std::max<int64_t>(rank, 1);
  for (int64_t d : *dim) {
    TORCH_CHECK(d >= -end && d < end, "qnative::", op, ": dim must be in [", -end, ", ", end - 1,
                "], got ", d);
    const int64_t index = d < 0 ? d + end : d;
    TORCH_CHECK(!reduced[index], "qnative::", op, ": dim ", index, " appears more than once");
    reduced[index] = true;
  }
  return reduced;
}

template <class Int>
Dims<Int> mean_sizes(const at::Tensor& x, const DimSet& reduced, bool keepdim) {
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  Dims<Int> result;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (!reduced[d]) {
      result.push_back(sizes[d]);
    } else if (keepdim) {
      result.push_back(Int(1));
    }
  }
  return result;
}

// All that constants and shapes determine, checked.
template <class Int>
struct MeanPlan {
  DimSet reduced;
  Dims<Int> sizes;  // of y
};

template <class Int>
MeanPlan<Int> plan_sizes(const char* op, const at::Tensor& x, at::OptionalIntArrayRef dim,
                         bool keepdim) {
  const DimSet reduced = reduced_dims(op, x, dim);
  return {reduced, mean_sizes<Int>(x, reduced, keepdim)};
}

template <class Int>
MeanPlan<Int> plan_mean(const QTensor& x, at::OptionalIntArrayRef dim, bool keepdim,
                        const OutputSpec& y) {
  check_qtensor("mean", "x", x, kDevice<Int>);
  check_output("mean", y);
  scale_ratio("mean", x, y);  // that of an average is no larger
  return plan_sizes<Int>("mean", x.data, dim, keepdim);
}

template <class Int>
MeanPlan<Int> plan_mean_fp16(const at::Tensor& x, at::OptionalIntArrayRef dim, bool keepdim) {
  check_half("mean_fp16", "x", x, kDevice<Int>);
  return plan_sizes<Int>("mean_fp16", x, dim, keepdim);
}

// Dimensions of x larger than 1, neighbours merged where they can be.
struct Dim {
  int64_t size, stride;
};
using DimList = c10::SmallVector<Dim, at::kDimVectorStaticSize>;

DimList merged_dims(const at::Tensor& x, const DimSet& reduced, bool which) {
  DimList dims;
  for (int64_t d = 0; d < x.dim(); ++d) {
    if (reduced[d] != which || x.size(d) == 1) continue;
    if (!dims.empty() && dims.back().stride == x.size(d) * x.stride(d)) {
      dims.back() = {dims.back().size * x.size(d), x.stride(d)};
    } else {
      dims.push_back({x.size(d), x.stride(d)});
    }
  }
  return dims;
}

// How the kernel reads x: windows of rows x columns taps, `channels` neighbouring bytes each, for
// every index of `outer`.
struct Walk {
  DimList outer;
  Dim rows, columns;
  int64_t channels;
};

// Nothing when more than two strides would be needed to walk through the taps.
std::optional<Walk> make_walk(const at::Tensor& x, const DimSet& reduced) {
  Walk walk{
      .outer = merged_dims(x, reduced, false), .rows = {1, 0}, .columns = {1, 0}, .channels = 1};
  const DimList taps = merged_dims(x, reduced, true);
  if (taps.size() > 2) return std::nullopt;
  if (!taps.empty()) walk.columns = taps.back();
  if (taps.size() == 2) walk.rows = taps.front();
  if (!walk.outer.empty() && walk.outer.back().stride == 1) {
    walk.channels = walk.outer.back().size;
    walk.outer.pop_back();
  }
  return walk;
}

// x as a dense [outputs, taps] matrix.
at::Tensor as_matrix(const at::Tensor& x, const DimSet& reduced, int64_t outputs) {
  at::DimVector order;
  for (const bool which : {false, true}) {
    for (int64_t d = 0; d < x.dim(); ++d) {
      if (reduced[d] == which) order.push_back(d);
    }
  }
  return x.permute(order).reshape({outputs, -1});
}

// f(window, y) for the windows of every index of `outer`; y: its channels. Elements of x and y are
// of one size.
template <class F>
void run_walk(const Walk& walk, const at::Tensor& x, const at::Tensor& y, const F& f) {
  const int64_t taps = walk.rows.size * walk.columns.size;
  const auto bytes = static_cast<int64_t>(x.element_size());
  const auto* from = static_cast<const uint8_t*>(x.const_data_ptr());
  auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
  run_parts(y.numel() / walk.channels, taps * walk.channels * bytes, kGrain,
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                int64_t offset = 0, rest = i;
                for (auto dim = walk.outer.rbegin(); dim != walk.outer.rend(); ++dim) {
                  offset += rest % dim->size * dim->stride;
                  rest /= dim->size;
                }
                f({.x = from + offset * bytes,
                   .row_stride = walk.rows.stride * bytes,
                   .pixel_stride = walk.columns.stride * bytes,
                   .rows = walk.rows.size,
                   .columns = walk.columns.size,
                   .channels = walk.channels},
                  to + i * walk.channels * bytes);
              }
            });
}

// The same for any x and y, neither of them empty. walk: make_walk(x, reduced).
template <class F>
void run_taps(const std::optional<Walk>& walk, const at::Tensor& x, const DimSet& reduced,
              const at::Tensor& y, const F& f) {
  if (walk) return run_walk(*walk, x, y, f);
  const at::Tensor matrix = as_matrix(x, reduced, y.numel());
  run_walk(*make_walk(matrix, DimSet(0b10)), matrix, y, f);
}

// What the eager and the planned op share.
struct MeanOp {
  struct Plan {
    MeanPlan<int64_t> mean;
    std::optional<Walk> walk = {};
    float multiplier = 0;
    Requantize requantize = {};
  };
  QParams x_qparams;
  std::optional<IntList> dim;
  bool keepdim;
  OutputSpec output;

  Plan plan(Inputs inputs) const {
    const at::Tensor& x = *inputs[0];
    const at::OptionalIntArrayRef dims =
        dim ? at::OptionalIntArrayRef(at::IntArrayRef(*dim)) : at::OptionalIntArrayRef();
    Plan plan{plan_mean<int64_t>(BorrowedQTensor(x, x_qparams), dims, keepdim, output)};
    plan.requantize = make_requantize(output);
    const int64_t outputs = c10::multiply_integers(plan.mean.sizes);
    if (outputs == 0 || x.numel() == 0) return plan;
    const int64_t taps = x.numel() / outputs;
    TORCH_CHECK(taps < kMaxTaps, "qnative::mean: less than ", kMaxTaps,
                " elements can be averaged into one, got ", taps);
    plan.multiplier =
        static_cast<float>(x_qparams.scale / (static_cast<double>(taps) * output.qparams.scale));
    plan.walk = make_walk(x, plan.mean.reduced);
    return plan;
  }

  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"pool.mean"}; }
  at::Tensor run(const Plan& plan, Inputs inputs) const {
    static auto& kernel = select(pool::mean_kernels());
    const at::Tensor& x = *inputs[0];
    const at::Tensor y = empty(plan.mean.sizes, output.dtype);
    if (y.numel() == 0) return y;
    if (x.numel() == 0) {
      std::memset(y.mutable_data_ptr(), requantize(0, plan.requantize), y.numel());
      return y;
    }
    const uint8_t flip = flip_of(x.scalar_type());
    const int32_t zero_point = unsigned_zero_point(x_qparams.zero_point, x.scalar_type());
    run_taps(plan.walk, x, plan.mean.reduced, y, [&](const pool::Window& window, uint8_t* to) {
      kernel(window, flip, zero_point, plan.multiplier, plan.requantize, to);
    });
    return y;
  }
};

at::Tensor run_mean_fp16(const MeanPlan<int64_t>& plan, const at::Tensor& x) {
  static auto& run = select(fp16::mean_kernels());
  const at::Tensor y = empty(plan.sizes, at::kHalf);
  if (y.numel() == 0) return y;
  if (x.numel() == 0) return y.fill_(std::numeric_limits<double>::quiet_NaN());
  const int64_t count = x.numel() / y.numel();
  const auto taps = static_cast<double>(count);
  run_taps(make_walk(x, plan.reduced), x, plan.reduced, y,
           [&](const pool::Window& window, uint8_t* to) {
             run(window, taps, reinterpret_cast<uint16_t*>(to));
           });
  return y;
}

QTensor mean_meta(const QTensor& x, at::OptionalIntArrayRef dim, bool keepdim,
                  const OutputSpec& y) {
  const auto plan = plan_mean<c10::SymInt>(x, dim, keepdim, y);
  return {at::empty_symint(plan.sizes, x.data.options().dtype(y.dtype)), y.qparams};
}

at::Tensor mean_fp16_meta(const at::Tensor& x, at::OptionalIntArrayRef dim, bool keepdim) {
  return at::empty_symint(plan_mean_fp16<c10::SymInt>(x, dim, keepdim).sizes, x.options());
}

}  // namespace

QTensor mean(const QTensor& x, at::OptionalIntArrayRef dim, bool keepdim, const OutputSpec& y) {
  MeanOp op{x.qparams, std::nullopt, keepdim, y};
  if (dim) op.dim = *dim;
  return {run_op(op, {&x.data}), y.qparams};
}

at::Tensor mean_fp16(const at::Tensor& x, at::OptionalIntArrayRef dim, bool keepdim) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_mean_fp16(plan_mean_fp16<int64_t>(x, dim, keepdim), x);
}

std::unique_ptr<PlannedOp> plan_mean_op(Arguments& arguments) {
  arguments.operand();
  MeanOp op{};
  op.x_qparams = arguments.qparams();
  op.dim = arguments.optional_ints();
  op.keepdim = arguments.flag();
  op.output = arguments.output();
  return make_planned(std::move(op), arguments);
}

namespace {

// The op of the schema. kRun: mean or mean_meta.
template <auto kRun>
at::Tensor mean_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                   at::OptionalIntArrayRef dim, bool keepdim, double y_scale, int64_t y_zero_point,
                   at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), dim, keepdim,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("mean", TORCH_FN(mean_op<mean>));
  m.impl("mean_fp16", TORCH_FN(mean_fp16));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("mean", TORCH_FN(mean_op<mean_meta>));
  m.impl("mean_fp16", TORCH_FN(mean_fp16_meta));
}

}  // namespace qnative::ops
