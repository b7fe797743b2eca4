#include "lookup/lookup.h"

#include <torch/library.h>

#include <cstring>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
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

at::Tensor look_up(const at::Tensor& x, const at::Tensor& table) {
  static auto& run = select(lookup::kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const at::Tensor y = empty(plan_lookup<int64_t>(x, table), table.scalar_type());
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x, y);
  const auto values = table.expect_contiguous();
  const auto* from = static_cast<const uint8_t*>(values->const_data_ptr());
  // The kernel takes bytes as indices: those of int8 begin with 0, not with -128.
  uint8_t by_byte[kSize];
  const int64_t first = x.scalar_type() == at::kChar ? kSize / 2 : 0;
  std::memcpy(by_byte, from + first, kSize - first);
  std::memcpy(by_byte + kSize - first, from, first);
  const auto* x_bytes = static_cast<const uint8_t*>(dense.const_data_ptr());
  auto* y_bytes = static_cast<uint8_t*>(y.mutable_data_ptr());
  run_parts(y.numel(), 1, kLookupGrain, [&](int64_t begin, int64_t end) {
    run(x_bytes + begin, y_bytes + begin, end - begin, by_byte);
  });
  return y;
}

}  // namespace

at::Tensor lookup(const at::Tensor& x, const LookupTable& table) {
  return look_up(x, table.values);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) { m.impl("lookup", TORCH_FN(look_up)); }
TORCH_LIBRARY_IMPL(qnative, Meta, m) { m.impl("lookup", TORCH_FN(lookup_meta)); }

}  // namespace qnative::ops
