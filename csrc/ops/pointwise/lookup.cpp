#include "lookup/lookup.h"

#include <torch/library.h>

#include <array>
#include <cstring>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "qnative/ops/pointwise.h"

namespace qnative::ops {
namespace {

constexpr int64_t kLookupGrain = 64 * 1024;  // elements a task
constexpr int64_t kSize = 256;

// The layout of y, checked.
template <class Int>
Layout<Int> plan_lookup(const at::Tensor& x, const at::Tensor& table) {
  check_8bit("lookup", "x", x, kDevice<Int>);
  check_8bit("lookup", "table", table, kDevice<Int>);
  TORCH_CHECK(table.dim() == 1 && table.sym_size(0) == kSize,
              "qnative::lookup: table must have shape [256], got ", table.sym_sizes());
  return elementwise_layout<Int>("lookup", {x});
}

at::Tensor lookup_meta(const at::Tensor& x, const at::Tensor& table) {
  return empty(plan_lookup<c10::SymInt>(x, table), table.scalar_type());
}

// `from`: a contiguous table. The kernel takes bytes as indices: those of int8 begin with 0, not
// with -128.
std::array<uint8_t, kSize> by_byte(const uint8_t* from, at::ScalarType x_dtype) {
  std::array<uint8_t, kSize> table;
  const int64_t first = x_dtype == at::kChar ? kSize / 2 : 0;
  std::memcpy(table.data(), from + first, kSize - first);
  std::memcpy(table.data() + kSize - first, from, first);
  return table;
}

// What the eager and the planned op share.
struct LookupOp {
  struct Plan {
    Layout<int64_t> layout;
    std::array<uint8_t, kSize> table;
  };
  c10::MaybeOwned<at::Tensor> table;

  Plan plan(Inputs x) const {
    Layout<int64_t> layout = plan_lookup<int64_t>(*x[0], *table);
    const auto values = table->expect_contiguous();
    return {std::move(layout),
            by_byte(static_cast<const uint8_t*>(values->const_data_ptr()), x[0]->scalar_type())};
  }
  static Work work(const Plan& /*plan*/, Inputs /*x*/) { return {"lookup"}; }
  at::Tensor run(const Plan& plan, Inputs x) const {
    static auto& kernel = select(lookup::kernels());
    const at::Tensor y = empty(plan.layout, table->scalar_type());
    if (y.numel() == 0) return y;
    const auto dense = with_layout_of(*x[0], y);
    const auto* from = static_cast<const uint8_t*>(dense->const_data_ptr());
    auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
    run_parts(y.numel(), 1, kLookupGrain, [&](int64_t begin, int64_t end) {
      kernel(from + begin, to + begin, end - begin, plan.table.data());
    });
    return y;
  }
};

// The op of the schema.
at::Tensor look_up(const at::Tensor& x, const at::Tensor& table) {
  return run_op(LookupOp{c10::MaybeOwned<at::Tensor>::borrowed(table)}, {&x});
}

}  // namespace

at::Tensor lookup(const at::Tensor& x, const LookupTable& table) {
  return look_up(x, table.values);
}

std::unique_ptr<PlannedOp> plan_lookup_op(Arguments& arguments) {
  arguments.operand();
  return make_planned(LookupOp{c10::MaybeOwned<at::Tensor>::owned(arguments.tensor())}, arguments);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("lookup", TORCH_FN(look_up)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("lookup", TORCH_FN(lookup_meta)); }

}  // namespace qnative::ops
