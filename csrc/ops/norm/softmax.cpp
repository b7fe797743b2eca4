#include <torch/library.h>

#include <cstring>

#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "common/scratch.h"
#include "fp16/fp16.h"
#include "lookup/lookup.h"
#include "norm/clamp.h"
#include "norm/norm.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/norm.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kSoftmaxGrain = 16 * 1024;  // elements a task
constexpr int64_t kRowCost = 256;             // elements that a row's table is worth

int64_t check_dim(const char* op, const at::Tensor& x, int64_t dim) {
  // As in torch, a tensor of no dimensions takes 0 and -1.
  const int64_t end = std::max<int64_t>(x.dim(), 1);
  TORCH_CHECK(dim >= -end && dim < end, "qnative::", op, ": dim must be in [", -end, ", ", end - 1,
              "], got ", dim);
  return dim < 0 ? dim + end : dim;
}

// All that constants and shapes determine, checked.
template <class Int>
struct SoftmaxPlan {
  int64_t dim;  // not negative
  Layout<Int> layout;
};

template <class Int>
SoftmaxPlan<Int> plan_softmax(const QTensor& x, int64_t dim, const OutputSpec& y) {
  check_qtensor("softmax", "x", x, kDevice<Int>);
  check_output("softmax", y, FloatOutput::kAllowed);
  return {check_dim("softmax", x.data, dim), elementwise_layout<Int>("softmax", {x.data})};
}

template <class Int>
SoftmaxPlan<Int> plan_softmax_fp16(const at::Tensor& x, int64_t dim) {
  check_half("softmax_fp16", "x", x, kDevice<Int>);
  return {check_dim("softmax_fp16", x, dim), elementwise_layout<Int>("softmax_fp16", {x})};
}

// Softmax of a row. Its values depend on the byte alone, once the sum of the row is known.
class RowSoftmax {
 public:
  RowSoftmax(double x_scale, uint8_t flip, const OutputSpec& output)
      : flip_(flip),
        y_scale_(output_qparams(output).scale),
        requantize_(output.is_float() ? Requantize{} : make_requantize(output)) {
    norm::make_exponentials(x_scale, e_);
  }

  void operator()(const uint8_t* x, uint8_t* y, int64_t n) const {
    static auto& quantize = select(quantize::quantize_kernels());
    static auto& lookup = select(lookup::kernels());
    const Row row = sum(x, n);
    uint8_t values[kSize] = {}, table[kSize];
    quantize(e_.value + 255 - row.largest, values, row.largest + 1, row.multiplier, requantize_);
    std::memcpy(table, values + flip_, kSize - flip_);
    std::memcpy(table + kSize - flip_, values, flip_);
    lookup(x, y, n, table);
  }
  void operator()(const uint8_t* x, float* y, int64_t n) const {
    static auto& run = select(norm::exponentials_kernels());
    const Row row = sum(x, n);
    run(e_, x, y, n, flip_, row.largest, row.multiplier);
  }

 private:
  static constexpr int64_t kSize = 256;
  struct Row {
    uint8_t largest;
    float multiplier;
  };

  Row sum(const uint8_t* x, int64_t n) const {
    static auto& largest = select(norm::largest_kernels());
    static auto& sum_exponentials = select(norm::sum_exponentials_kernels());
    const uint8_t most = largest(x, n, flip_);
    const auto total = static_cast<double>(sum_exponentials(e_, x, n, flip_, most));
    return {most, static_cast<float>(0x1p31 / (total * y_scale_))};
  }

  uint8_t flip_;
  double y_scale_;
  Requantize requantize_;
  norm::Exponentials e_;
};

// run(x, y, n) for the rows of n elements along `dim` of x and y, which is not empty. row_cost:
// what a row costs besides its elements, in elements.
template <class X, class Y, class F>
void run_rows(const at::Tensor& x, int64_t dim, const at::Tensor& y, int64_t row_cost,
              const F& run) {
  const bool is_last = dim + 1 >= x.dim();
  const at::Tensor rows = is_last ? x.contiguous() : x.movedim(dim, -1).contiguous();
  const at::Tensor target = is_last ? y : y.movedim(dim, -1);
  const at::Tensor dense = target.is_contiguous() ? target : empty(target.sizes(), y.scalar_type());
  const int64_t n = x.dim() == 0 ? 1 : x.size(dim);
  const auto* from = static_cast<const X*>(rows.const_data_ptr());
  auto* to = static_cast<Y*>(dense.mutable_data_ptr());
  run_parts(y.numel() / n, n + row_cost, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) run(from + row * n, to + row * n, n);
  });
  if (!dense.is_same(target)) target.copy_(dense);
}

// What the eager and the planned op share.
struct SoftmaxOp {
  struct Plan {
    SoftmaxPlan<int64_t> softmax;
    RowSoftmax run;
  };
  QParams x_qparams;
  int64_t dim;
  OutputSpec output;

  Plan plan(Inputs x) const {
    return {plan_softmax<int64_t>(BorrowedQTensor(*x[0], x_qparams), dim, output),
            RowSoftmax(x_qparams.scale, flip_of(x[0]->scalar_type()), output)};
  }

  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"norm.sum_exponentials"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    const at::Tensor y = empty(plan.softmax.layout, output.dtype);
    if (y.numel() == 0) return y;
    if (output.is_float()) {
      run_rows<uint8_t, float>(*x[0], plan.softmax.dim, y, kRowCost, plan.run);
      clamp_floats(y, output.activation);
    } else {
      run_rows<uint8_t, uint8_t>(*x[0], plan.softmax.dim, y, kRowCost, plan.run);
    }
    return y;
  }
};

at::Tensor run_softmax_fp16(const SoftmaxPlan<int64_t>& plan, const at::Tensor& x) {
  static auto& run = select(fp16::softmax_kernels());
  const at::Tensor y = empty(plan.layout, at::kHalf);
  if (y.numel() == 0) return y;
  run_rows<uint16_t, uint16_t>(x, plan.dim, y, 0,
                               [](const uint16_t* from, uint16_t* to, int64_t n) {
                                 const int64_t floats = n + fp16::kLanes;
                                 Scratch scratch(Scratch::bytes<float>(floats));
                                 run(from, to, n, scratch.take<float>(floats));
                               });
  return y;
}

QTensor softmax_meta(const QTensor& x, int64_t dim, const OutputSpec& y) {
  return {empty(plan_softmax<c10::SymInt>(x, dim, y).layout, y.dtype), output_qparams(y)};
}

at::Tensor softmax_fp16_meta(const at::Tensor& x, int64_t dim) {
  return empty(plan_softmax_fp16<c10::SymInt>(x, dim).layout, at::kHalf);
}

}  // namespace

QTensor softmax(const QTensor& x, int64_t dim, const OutputSpec& y) {
  return {run_op(SoftmaxOp{x.qparams, dim, y}, {&x.data}), output_qparams(y)};
}

at::Tensor softmax_fp16(const at::Tensor& x, int64_t dim) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_softmax_fp16(plan_softmax_fp16<int64_t>(x, dim), x);
}

std::unique_ptr<PlannedOp> plan_softmax_op(Arguments& arguments) {
  arguments.operand();
  SoftmaxOp op{};
  op.x_qparams = arguments.qparams();
  op.dim = arguments.integer();
  op.output = arguments.output();
  return make_planned(op, arguments);
}

namespace {

// The op of the schema. kRun: softmax or softmax_meta.
template <auto kRun>
at::Tensor softmax_op(const at::Tensor& x, double x_scale, int64_t x_zero_point, int64_t dim,
                      double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  return kRun(BorrowedQTensor(x, {x_scale, x_zero_point}), dim,
              {.qparams = {y_scale, y_zero_point}, .dtype = y_dtype})
      .data;
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("softmax", TORCH_FN(softmax_op<softmax>));
  m.impl("softmax_fp16", TORCH_FN(softmax_fp16));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("softmax", TORCH_FN(softmax_op<softmax_meta>));
  m.impl("softmax_fp16", TORCH_FN(softmax_fp16_meta));
}

}  // namespace qnative::ops
