#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "common/binary_op.h"
#include "common/borrow.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/output.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "elementwise/elementwise.h"
#include "fp16/fp16.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr const char* kMul = "mul";
constexpr int64_t kBinaryGrain = 32 * 1024;  // elements a task
constexpr int64_t kChunk = 1024;             // elements that are made contiguous at a time

template <class T>
void gather(const std::byte* x, int64_t step, int64_t n, std::byte* copy) {
  const auto* from = reinterpret_cast<const T*>(x);
  auto* to = reinterpret_cast<T*>(copy);
  if (step == 0) {
    std::fill_n(to, n, *from);
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i] = from[i * step];
}

// n elements of `size` bytes, 1 or 2, `step` apart, as contiguous ones: x itself or `copy`.
const std::byte* contiguous_elements(const std::byte* x, int64_t size, int64_t step, int64_t n,
                                     std::byte* copy) {
  if (step == 1) return x;
  (size == 1 ? gather<uint8_t> : gather<uint16_t>)(x, step, n, copy);
  return copy;
}

// How a and b are read in the order of y in memory: `outer` has the dimensions outside of a row,
// the fastest first. Strides are in elements, 0 where an operand is repeated.
struct PairWalk {
  struct Dim {
    int64_t size, a, b;
  };
  Dim row;
  c10::SmallVector<Dim, 4> outer;

  bool is_dense() const { return outer.empty() && row.a == 1 && row.b == 1; }
};

// The stride of dimension `dim`, counted from the last, of the broadcast of x.
int64_t broadcast_stride(const at::Tensor& x, int64_t from_last) {
  const int64_t dim = x.dim() - from_last;
  return dim < 0 || x.size(dim) == 1 ? 0 : x.stride(dim);
}

// Dimensions of y, which is dense (no two strides are equal), merged where both operands allow it.
PairWalk make_walk(const at::Tensor& a, const at::Tensor& b, const Layout<int64_t>& y) {
  const auto rank = static_cast<int64_t>(y.sizes.size());
  c10::SmallVector<int64_t, at::kDimVectorStaticSize> order;
  for (int64_t d = rank - 1; d >= 0; --d) {
    if (y.sizes[d] != 1) order.push_back(d);
  }
  std::sort(order.begin(), order.end(),
            [&](int64_t i, int64_t j) { return y.strides[i] < y.strides[j]; });
  PairWalk walk{{1, 1, 1}, {}};
  for (const int64_t d : order) {
    const PairWalk::Dim dim{y.sizes[d], broadcast_stride(a, rank - d),
                            broadcast_stride(b, rank - d)};
    PairWalk::Dim& last = walk.outer.empty() ? walk.row : walk.outer.back();
    const bool is_first = walk.outer.empty() && last.size == 1;
    if (is_first) {
      last = dim;
    } else if (dim.a == last.a * last.size && dim.b == last.b * last.size) {
      last.size *= dim.size;
    } else {
      walk.outer.push_back(dim);
    }
  }
  return walk;
}

// Elements in memory. size: bytes of one.
template <class Byte>
struct Elements {
  Byte* data;
  int64_t size;

  Byte* at(int64_t index) const { return data + index * size; }
};
using ConstElements = Elements<const std::byte>;

// run(a, b, y, n) for part of a row.
template <class F>
void run_row(const F& run, const PairWalk::Dim& row, const ConstElements& a, const ConstElements& b,
             const Elements<std::byte>& y, int64_t n) {
  alignas(2) std::byte a_copy[2 * kChunk], b_copy[2 * kChunk];
  const int64_t step = row.a == 1 && row.b == 1 ? n : kChunk;
  for (int64_t i = 0; i < n; i += step) {
    const int64_t count = std::min(step, n - i);
    run(contiguous_elements(a.at(i * row.a), a.size, row.a, count, a_copy),
        contiguous_elements(b.at(i * row.b), b.size, row.b, count, b_copy), y.at(i), count);
  }
}

// The same for elements [begin, end) of y in memory.
template <class F>
void run_walk(const F& run, const PairWalk& walk, ConstElements a, ConstElements b,
              const Elements<std::byte>& y, int64_t begin, int64_t end) {
  c10::SmallVector<int64_t, 4> index;
  int64_t at = begin % walk.row.size;
  for (int64_t rest = begin / walk.row.size; const PairWalk::Dim& dim : walk.outer) {
    index.push_back(rest % dim.size);
    a.data = a.at(index.back() * dim.a);
    b.data = b.at(index.back() * dim.b);
    rest /= dim.size;
  }
  while (begin < end) {
    const int64_t n = std::min(walk.row.size - at, end - begin);
    run_row(run, walk.row, {a.at(at * walk.row.a), a.size}, {b.at(at * walk.row.b), b.size},
            {y.at(begin), y.size}, n);
    begin += n;
    at = 0;
    for (size_t i = 0; i < walk.outer.size(); ++i) {
      const PairWalk::Dim& dim = walk.outer[i];
      a.data = a.at(dim.a);
      b.data = b.at(dim.b);
      if (++index[i] < dim.size) break;
      index[i] = 0;
      a.data = a.at(-dim.size * dim.a);
      b.data = b.at(-dim.size * dim.b);
    }
  }
}

// run(a, b, y, n) for runs of contiguous elements that together are y.
template <class F>
void run_pairs(const PairWalk& walk, const at::Tensor& a, const at::Tensor& b, const at::Tensor& y,
               const F& run) {
  if (y.numel() == 0) return;
  const auto size = [](const at::Tensor& x) { return static_cast<int64_t>(x.element_size()); };
  const ConstElements from_a{static_cast<const std::byte*>(a.const_data_ptr()), size(a)};
  const ConstElements from_b{static_cast<const std::byte*>(b.const_data_ptr()), size(b)};
  const Elements<std::byte> to{static_cast<std::byte*>(y.mutable_data_ptr()), size(y)};
  run_parts(y.numel(), 1, kBinaryGrain, [&](int64_t begin, int64_t end) {
    if (walk.is_dense()) {
      run(from_a.at(begin), from_b.at(begin), to.at(begin), end - begin);
    } else {
      run_walk(run, walk, from_a, from_b, to, begin, end);
    }
  });
}

// All that constants and shapes determine, checked. Args: of the kernel.
template <class Int, class Args>
struct BinaryPlan {
  Layout<Int> layout;
  at::ScalarType dtype;
  Args args;
  PairWalk walk = {};  // on the CPU
};

// The same on the CPU, ready to run.
template <class Args>
BinaryPlan<int64_t, Args> with_walk(BinaryPlan<int64_t, Args> plan, const at::Tensor& a,
                                    const at::Tensor& b) {
  plan.walk = make_walk(a, b, plan.layout);
  return plan;
}

// All but the multipliers.
template <class Int>
BinaryPlan<Int, elementwise::Args> plan_binary(const char* op, const QTensor& a, const QTensor& b,
                                               const OutputSpec& y) {
  check_qtensor(op, "a", a, kDevice<Int>, Words::kAllowed);
  check_qtensor(op, "b", b, kDevice<Int>, Words::kAllowed);
  check_output(op, y, FloatOutput::kRefused, Words::kAllowed);
  return {.layout = elementwise_layout<Int>(op, {a.data, b.data}),
          .dtype = y.dtype,
          .args = {.a_zero_point = unsigned_zero_point(a),
                   .b_zero_point = unsigned_zero_point(b),
                   .a_multiplier = 0,
                   .b_multiplier = 0,
                   .a_flip = flip_of(a.data.scalar_type()),
                   .b_flip = flip_of(b.data.scalar_type()),
                   .requantize = make_requantize(y),
                   .a_is_word = is_word(a.data.scalar_type()),
                   .b_is_word = is_word(b.data.scalar_type()),
                   .y_is_word = is_word(y.dtype)}};
}

template <class Int>
auto plan_add(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  auto plan = plan_binary<Int>("add", a, b, y);
  TORCH_CHECK(std::isfinite(alpha), "qnative::add: alpha must be finite, got ", alpha);
  const double y_scale = y.qparams.scale;
  plan.args.a_multiplier = finite_multiplier("add", a.qparams.scale / y_scale);
  plan.args.b_multiplier = finite_multiplier("add", alpha * b.qparams.scale / y_scale);
  return plan;
}

template <class Int>
auto plan_mul(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  auto plan = plan_binary<Int>(kMul, a, b, y);
  plan.args.a_multiplier =
      finite_multiplier(kMul, a.qparams.scale * b.qparams.scale / y.qparams.scale);
  return plan;
}

template <class Int>
BinaryPlan<Int, fp16::BinaryArgs> plan_fp16(const char* op, const at::Tensor& a,
                                            const at::Tensor& b, const Activation& activation,
                                            double alpha) {
  check_half(op, "a", a, kDevice<Int>);
  check_half(op, "b", b, kDevice<Int>);
  check_activation(op, activation);
  const float factor = finite_float(op, "alpha", alpha);
  return {.layout = elementwise_layout<Int>(op, {a, b}),
          .dtype = at::kHalf,
          .args = {.alpha = factor,
                   .lo = static_cast<float>(activation.min),
                   .hi = static_cast<float>(activation.max)}};
}

// T: the elements, or void.
template <class T, class Args>
at::Tensor run_binary(const BinaryPlan<int64_t, Args>& plan,
                      void (&run)(const Args&, const T*, const T*, T*, int64_t),
                      const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor y = empty(plan.layout, plan.dtype);
  run_pairs(plan.walk, a, b, y, [&](const void* left, const void* right, void* to, int64_t n) {
    run(plan.args, static_cast<const T*>(left), static_cast<const T*>(right), static_cast<T*>(to),
        n);
  });
  return y;
}

QTensor add_meta(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  return {empty(plan_add<c10::SymInt>(a, b, y, alpha).layout, y.dtype), y.qparams};
}

QTensor mul_meta(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  return {empty(plan_mul<c10::SymInt>(a, b, y).layout, y.dtype), y.qparams};
}

at::Tensor add_fp16_meta(const at::Tensor& a, const at::Tensor& b, const Activation& activation,
                         double alpha) {
  return empty(plan_fp16<c10::SymInt>("add_fp16", a, b, activation, alpha).layout, at::kHalf);
}

at::Tensor mul_fp16_meta(const at::Tensor& a, const at::Tensor& b, const Activation& activation) {
  return empty(plan_fp16<c10::SymInt>("mul_fp16", a, b, activation, 1).layout, at::kHalf);
}

// What the eager and the planned op share.
struct AddOp {
  using Plan = BinaryPlan<int64_t, elementwise::Args>;
  QParams a, b;
  OutputSpec y;
  double alpha;

  Plan plan(Inputs x) const {
    const BorrowedQTensor left(*x[0], a), right(*x[1], b);
    return with_walk(plan_add<int64_t>(left, right, y, alpha), *x[0], *x[1]);
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"elementwise.add"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(elementwise::add_kernels());
    return run_binary(plan, kernel, *x[0], *x[1]);
  }
};

struct MulOp {
  using Plan = BinaryPlan<int64_t, elementwise::Args>;
  QParams a, b;
  OutputSpec y;

  Plan plan(Inputs x) const {
    const BorrowedQTensor left(*x[0], a), right(*x[1], b);
    return with_walk(plan_mul<int64_t>(left, right, y), *x[0], *x[1]);
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"elementwise.mul"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(elementwise::mul_kernels());
    return run_binary(plan, kernel, *x[0], *x[1]);
  }
};

using HalfPlan = BinaryPlan<int64_t, fp16::BinaryArgs>;

struct AddFp16Op {
  using Plan = HalfPlan;
  Activation activation;
  double alpha;

  Plan plan(Inputs x) const {
    return with_walk(plan_fp16<int64_t>("add_fp16", *x[0], *x[1], activation, alpha), *x[0], *x[1]);
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"fp16.add"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(fp16::add_kernels());
    return run_binary(plan, kernel, *x[0], *x[1]);
  }
};

struct MulFp16Op {
  using Plan = HalfPlan;
  Activation activation;

  Plan plan(Inputs x) const {
    return with_walk(plan_fp16<int64_t>("mul_fp16", *x[0], *x[1], activation, 1), *x[0], *x[1]);
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"fp16.mul"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(fp16::mul_kernels());
    return run_binary(plan, kernel, *x[0], *x[1]);
  }
};

}  // namespace

QTensor add(const QTensor& a, const QTensor& b, const OutputSpec& y, double alpha) {
  return {run_op(AddOp{a.qparams, b.qparams, y, alpha}, {&a.data, &b.data}), y.qparams};
}

QTensor mul(const QTensor& a, const QTensor& b, const OutputSpec& y) {
  return {run_op(MulOp{a.qparams, b.qparams, y}, {&a.data, &b.data}), y.qparams};
}

at::Tensor add_fp16(const at::Tensor& a, const at::Tensor& b, const Activation& activation,
                    double alpha) {
  return run_op(AddFp16Op{activation, alpha}, {&a, &b});
}

at::Tensor mul_fp16(const at::Tensor& a, const at::Tensor& b, const Activation& activation) {
  return run_op(MulFp16Op{activation}, {&a, &b});
}

std::unique_ptr<PlannedOp> plan_add_op(Arguments& arguments) {
  AddOp op{};
  arguments.operand();
  op.a = arguments.qparams();
  arguments.operand();
  op.b = arguments.qparams();
  op.y = arguments.activated_output("add");
  op.alpha = arguments.real();
  return make_planned(op, arguments);
}

std::unique_ptr<PlannedOp> plan_mul_op(Arguments& arguments) {
  MulOp op{};
  arguments.operand();
  op.a = arguments.qparams();
  arguments.operand();
  op.b = arguments.qparams();
  op.y = arguments.activated_output(kMul);
  return make_planned(op, arguments);
}

std::unique_ptr<PlannedOp> plan_add_fp16_op(Arguments& arguments) {
  arguments.operand();
  arguments.operand();
  const Activation activation = arguments.activation("add_fp16");
  return make_planned(AddFp16Op{activation, arguments.real()}, arguments);
}

std::unique_ptr<PlannedOp> plan_mul_fp16_op(Arguments& arguments) {
  arguments.operand();
  arguments.operand();
  return make_planned(MulFp16Op{arguments.activation("mul_fp16")}, arguments);
}

namespace {

// The ops of the schemas. kRun: add, add_fp16, mul_fp16 or its Meta function.
template <auto kRun>
at::Tensor add_op(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                  double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                  at::ScalarType y_dtype, std::string_view activation,
                  at::ArrayRef<double> activation_args, double alpha) {
  return kRun(BorrowedQTensor(a, {a_scale, a_zero_point}),
              BorrowedQTensor(b, {b_scale, b_zero_point}),
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation("add", activation, activation_args)},
              alpha)
      .data;
}

template <auto kRun>
at::Tensor add_fp16_op(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                       at::ArrayRef<double> activation_args, double alpha) {
  return kRun(a, b, parse_activation("add_fp16", activation, activation_args), alpha);
}

template <auto kRun>
at::Tensor mul_fp16_op(const at::Tensor& a, const at::Tensor& b, std::string_view activation,
                       at::ArrayRef<double> activation_args) {
  return kRun(a, b, parse_activation("mul_fp16", activation, activation_args));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("add", TORCH_FN(add_op<add>));
  m.impl("mul", TORCH_FN((binary_op<kMul, mul>)));
  m.impl("add_fp16", TORCH_FN(add_fp16_op<add_fp16>));
  m.impl("mul_fp16", TORCH_FN(mul_fp16_op<mul_fp16>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("add", TORCH_FN(add_op<add_meta>));
  m.impl("mul", TORCH_FN((binary_op<kMul, mul_meta>)));
  m.impl("add_fp16", TORCH_FN(add_fp16_op<add_fp16_meta>));
  m.impl("mul_fp16", TORCH_FN(mul_fp16_op<mul_fp16_meta>));
}

}  // namespace qnative::ops
