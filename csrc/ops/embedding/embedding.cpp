#include "embedding/embedding.h"

#include <torch/library.h>

#include <atomic>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/planned.h"
#include "common/plans.h"
#include "embedding/pack.h"
#include "embedding/table.h"
#include "qnative/ops/embedding.h"
#include "quantize/checks.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 16 * 1024;     // elements a task
constexpr int64_t kPackGrain = 2 * 1024;  // elements a task

template <class Int>
using Sizes = c10::SmallVector<Int, at::kDimVectorStaticSize>;

constexpr TableOp kRows8{"embedding_8bit", 8};
constexpr TableOp kRows4{"embedding_4bit", 4};
constexpr TableOp kUnpack8{"embedding_8bit_unpack", 8};
constexpr TableOp kUnpack4{"embedding_4bit_unpack", 4};

embedding::RowsFn& rows_kernel(int bits) {
  static auto& run_8bit = select(embedding::rows_8bit_kernels());
  static auto& run_4bit = select(embedding::rows_4bit_kernels());
  return bits == 8 ? run_8bit : run_4bit;
}

// The shape of the output.
template <class Int>
Sizes<Int> check_rows(const TableOp& op, const BasicEmbeddingTable<Int>& table,
                      const at::Tensor& indices, at::DeviceType device) {
  const Int dim = check_table(op, table, device);
  check_integers(op.op, "indices", indices, device);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(indices);
  Sizes<Int> y_sizes(sizes.begin(), sizes.end());
  y_sizes.push_back(dim);
  return y_sizes;
}

// What the eager and the planned ops share.
struct RowsOp {
  using Plan = Sizes<int64_t>;  // of y
  const TableOp& op;
  Held<EmbeddingTable> table;

  Plan plan(Inputs x) const { return check_rows(op, *table, *x[0], at::kCPU); }

  Work work(const Plan& /*y_sizes*/, Inputs /*x*/) const {
    return {op.bits == 8 ? "embedding.rows_8bit" : "embedding.rows_4bit"};
  }

  at::Tensor run(const Plan& y_sizes, Inputs x) const {
    embedding::RowsFn& kernel = rows_kernel(op.bits);
    const int64_t dim = y_sizes.back();
    const auto weight = table->packed.expect_contiguous();
    const embedding::Table dense{weight->const_data_ptr<uint8_t>(), dim};
    const at::Tensor rows = to_long(*x[0]);
    const int64_t* from = rows.const_data_ptr<int64_t>();
    check_indices(op.op, from, rows.numel(), weight->size(0));
    const at::Tensor y = empty(y_sizes, at::kFloat);
    if (y.numel() == 0) return y;
    float* to = y.mutable_data_ptr<float>();
    run_parts(rows.numel(), dim, kGrain, [&](int64_t begin, int64_t end) {
      kernel(dense, from + begin, end - begin, to + begin * dim);
    });
    return y;
  }
};

at::Tensor run_rows(const TableOp& op, const EmbeddingTable& table, const at::Tensor& indices) {
  return run_op(RowsOp{op, Held<EmbeddingTable>::borrow(table)}, {&indices});
}

template <const TableOp& kOp>
at::Tensor rows_meta(const BasicEmbeddingTable<c10::SymInt>& table, const at::Tensor& indices) {
  return at::empty_symint(check_rows(kOp, table, indices, at::kMeta),
                          table.packed.options().dtype(at::kFloat));
}

// ---- pack, unpack --------------------------------------------------------------------------

void check_pack(const char* op, const at::Tensor& weight, at::DeviceType device) {
  check_real(op, weight, device, "weight");
  TORCH_CHECK(weight.dim() == 2, "qnative::", op, ": weight must be [rows, D], got ",
              weight.sym_sizes());
  constexpr int64_t kMaxDim = int64_t{1} << 62;  // bytes of a row are an int64
  const std::optional<int64_t> dim = weight.sym_size(1).maybe_as_int();
  TORCH_CHECK(!dim || *dim < kMaxDim, "qnative::", op,
              ": weight must have less than 2^62 columns, ", "got ", weight.sym_sizes());
}

at::Tensor run_pack(const char* op, const at::Tensor& weight, int bits,
                    embedding::PackRow& pack_row) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_pack(op, weight, at::kCPU);
  const int64_t rows = weight.size(0), dim = weight.size(1);
  const int64_t row_bytes = embedding::row_bytes(bits, dim);
  const at::Tensor real = weight.to(at::kFloat).contiguous();
  at::Tensor packed = empty({rows, row_bytes}, at::kByte);
  const float* from = real.const_data_ptr<float>();
  auto* to = packed.mutable_data_ptr<uint8_t>();
  std::atomic<int64_t> wrong = -1;
  run_parts(rows, dim, kPackGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!pack_row(from + r * dim, dim, to + r * row_bytes)) wrong = r;
    }
  });
  TORCH_CHECK(wrong < 0, "qnative::", op,
              ": weight must be finite as Float, got inf or NaN in row ", wrong.load());
  return packed;
}

at::Tensor pack_meta(const char* op, const at::Tensor& weight, int64_t per_byte) {
  check_pack(op, weight, at::kMeta);
  const c10::SymInt dim = weight.sym_size(1);
  const c10::SymInt bytes = dim / per_byte + dim % per_byte;
  return at::empty_symint({weight.sym_size(0), bytes + embedding::kParamBytes},
                          weight.options().dtype(at::kByte));
}

at::Tensor embedding_8bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_8bit_pack", weight, 1);
}

at::Tensor embedding_4bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_4bit_pack", weight, 2);
}

at::Tensor run_unpack(const TableOp& op, const EmbeddingTable& table) {
  check_table(op, table, at::kCPU);
  return run_rows(op, table, at::arange(table.packed.size(0), at::kLong));
}

template <const TableOp& kOp>
at::Tensor unpack_meta(const BasicEmbeddingTable<c10::SymInt>& table) {
  const c10::SymInt dim = check_table(kOp, table, at::kMeta);
  return at::empty_symint({table.packed.sym_size(0), dim},
                          table.packed.options().dtype(at::kFloat));
}

}  // namespace

at::Tensor embedding_8bit(const EmbeddingTable& table, const at::Tensor& indices) {
  return run_rows(kRows8, table, indices);
}

at::Tensor embedding_4bit(const EmbeddingTable& table, const at::Tensor& indices) {
  return run_rows(kRows4, table, indices);
}

std::unique_ptr<PlannedOp> plan_embedding_8bit_op(Arguments& arguments) {
  EmbeddingTable table{arguments.tensor(), std::nullopt};
  arguments.operand();
  return make_planned(RowsOp{kRows8, Held<EmbeddingTable>::own(std::move(table))}, arguments);
}

std::unique_ptr<PlannedOp> plan_embedding_4bit_op(Arguments& arguments) {
  EmbeddingTable table{arguments.tensor(), std::nullopt};
  table.embedding_dim = arguments.integer();
  arguments.operand();
  return make_planned(RowsOp{kRows4, Held<EmbeddingTable>::own(std::move(table))}, arguments);
}

at::Tensor embedding_8bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_8bit_pack", weight, 8, embedding::pack_row_8bit);
}

at::Tensor embedding_4bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_4bit_pack", weight, 4, embedding::pack_row_4bit);
}

at::Tensor embedding_8bit_unpack(const EmbeddingTable& table) {
  return run_unpack(kUnpack8, table);
}

at::Tensor embedding_4bit_unpack(const EmbeddingTable& table) {
  return run_unpack(kUnpack4, table);
}

namespace {

// The ops of the schemas. kRun: the function for CPU or for Meta; Int: as in Values.
template <auto kRun, class Int>
at::Tensor rows_8bit_op(const at::Tensor& weight, const at::Tensor& indices) {
  return kRun(BorrowedTable<Int>(weight), indices);
}
template <auto kRun, class Int>
at::Tensor rows_4bit_op(const at::Tensor& weight, Int embedding_dim, const at::Tensor& indices) {
  return kRun(BorrowedTable<Int>(weight, std::move(embedding_dim)), indices);
}
template <auto kRun, class Int>
at::Tensor unpack_8bit_op(const at::Tensor& weight) {
  return kRun(BorrowedTable<Int>(weight));
}
template <auto kRun, class Int>
at::Tensor unpack_4bit_op(const at::Tensor& weight, Int embedding_dim) {
  return kRun(BorrowedTable<Int>(weight, std::move(embedding_dim)));
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("embedding_8bit", TORCH_FN((rows_8bit_op<embedding_8bit, int64_t>)));
  m.impl("embedding_4bit", TORCH_FN((rows_4bit_op<embedding_4bit, int64_t>)));
  m.impl("embedding_8bit_pack", TORCH_FN(embedding_8bit_pack));
  m.impl("embedding_4bit_pack", TORCH_FN(embedding_4bit_pack));
  m.impl("embedding_8bit_unpack", TORCH_FN((unpack_8bit_op<embedding_8bit_unpack, int64_t>)));
  m.impl("embedding_4bit_unpack", TORCH_FN((unpack_4bit_op<embedding_4bit_unpack, int64_t>)));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("embedding_8bit", TORCH_FN((rows_8bit_op<rows_meta<kRows8>, c10::SymInt>)));
  m.impl("embedding_4bit", TORCH_FN((rows_4bit_op<rows_meta<kRows4>, c10::SymInt>)));
  m.impl("embedding_8bit_pack", TORCH_FN(embedding_8bit_pack_meta));
  m.impl("embedding_4bit_pack", TORCH_FN(embedding_4bit_pack_meta));
  m.impl("embedding_8bit_unpack", TORCH_FN((unpack_8bit_op<unpack_meta<kUnpack8>, c10::SymInt>)));
  m.impl("embedding_4bit_unpack", TORCH_FN((unpack_4bit_op<unpack_meta<kUnpack4>, c10::SymInt>)));
}

}  // namespace qnative::ops
