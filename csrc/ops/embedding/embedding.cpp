#include "embedding/embedding.h"

#include <torch/library.h>

#include <atomic>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
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

// The shape of the output.
template <class Int>
Sizes<Int> check_rows(const TableArgs<Int>& table, const at::Tensor& indices,
                      at::DeviceType device) {
  const Int dim = table.check(device);
  check_integers(table.op, "indices", indices, device);
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(indices);
  Sizes<Int> y_sizes(sizes.begin(), sizes.end());
  y_sizes.push_back(dim);
  return y_sizes;
}

at::Tensor run_rows(const TableArgs<int64_t>& args, const at::Tensor& indices,
                    embedding::RowsFn& run) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto y_sizes = check_rows(args, indices, at::kCPU);
  const int64_t dim = y_sizes.back();
  const at::Tensor weight = args.weight.contiguous();
  const embedding::Table table{weight.const_data_ptr<uint8_t>(), dim};
  const at::Tensor rows = to_long(indices);
  const int64_t* from = rows.const_data_ptr<int64_t>();
  check_indices(args.op, from, rows.numel(), args.weight.size(0));
  const at::Tensor y = empty(y_sizes, at::kFloat);
  if (y.numel() == 0) return y;
  float* to = y.mutable_data_ptr<float>();
  run_parts(rows.numel(), dim, kGrain, [&](int64_t begin, int64_t end) {
    run(table, from + begin, end - begin, to + begin * dim);
  });
  return y;
}

at::Tensor rows_meta(const TableArgs<c10::SymInt>& args, const at::Tensor& indices) {
  return at::empty_symint(check_rows(args, indices, at::kMeta),
                          args.weight.options().dtype(at::kFloat));
}

at::Tensor embedding_8bit_meta(const at::Tensor& weight, const at::Tensor& indices) {
  return rows_meta({"embedding_8bit", weight, {}}, indices);
}

at::Tensor embedding_4bit_meta(const at::Tensor& weight, c10::SymInt embedding_dim,
                               const at::Tensor& indices) {
  return rows_meta({"embedding_4bit", weight, embedding_dim}, indices);
}

// ---- pack, unpack --------------------------------------------------------------------------

void check_pack(const char* op, const at::Tensor& weight, at::DeviceType device) {
  check_real(op, weight, device, "weight");
  TORCH_CHECK(weight.dim() == 2, "qnative::", op, ": weight must be [rows, D], got ",
              weight.sym_sizes());
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
  const c10::SymInt bytes = (weight.sym_size(1) + per_byte - 1) / per_byte;
  return at::empty_symint({weight.sym_size(0), bytes + embedding::kParamBytes},
                          weight.options().dtype(at::kByte));
}

at::Tensor embedding_8bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_8bit_pack", weight, 1);
}

at::Tensor embedding_4bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_4bit_pack", weight, 2);
}

at::Tensor run_unpack(const TableArgs<int64_t>& args, embedding::RowsFn& run) {
  args.check(at::kCPU);
  return run_rows(args, at::arange(args.weight.size(0), at::kLong), run);
}

at::Tensor unpack_meta(const TableArgs<c10::SymInt>& args) {
  const c10::SymInt dim = args.check(at::kMeta);
  return at::empty_symint({args.weight.sym_size(0), dim}, args.weight.options().dtype(at::kFloat));
}

at::Tensor embedding_8bit_unpack_meta(const at::Tensor& weight) {
  return unpack_meta({"embedding_8bit_unpack", weight, {}});
}

at::Tensor embedding_4bit_unpack_meta(const at::Tensor& weight, c10::SymInt embedding_dim) {
  return unpack_meta({"embedding_4bit_unpack", weight, embedding_dim});
}

}  // namespace

at::Tensor embedding_8bit(const at::Tensor& weight, const at::Tensor& indices) {
  static auto& run = select(embedding::rows_8bit_kernels());
  return run_rows({"embedding_8bit", weight, {}}, indices, run);
}

at::Tensor embedding_4bit(const at::Tensor& weight, int64_t embedding_dim,
                          const at::Tensor& indices) {
  static auto& run = select(embedding::rows_4bit_kernels());
  return run_rows({"embedding_4bit", weight, embedding_dim}, indices, run);
}

at::Tensor embedding_8bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_8bit_pack", weight, 8, embedding::pack_row_8bit);
}

at::Tensor embedding_4bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_4bit_pack", weight, 4, embedding::pack_row_4bit);
}

at::Tensor embedding_8bit_unpack(const at::Tensor& weight) {
  static auto& run = select(embedding::rows_8bit_kernels());
  return run_unpack({"embedding_8bit_unpack", weight, {}}, run);
}

at::Tensor embedding_4bit_unpack(const at::Tensor& weight, int64_t embedding_dim) {
  static auto& run = select(embedding::rows_4bit_kernels());
  return run_unpack({"embedding_4bit_unpack", weight, embedding_dim}, run);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("embedding_8bit", TORCH_FN(embedding_8bit));
  m.impl("embedding_4bit", TORCH_FN(embedding_4bit));
  m.impl("embedding_8bit_pack", TORCH_FN(embedding_8bit_pack));
  m.impl("embedding_4bit_pack", TORCH_FN(embedding_4bit_pack));
  m.impl("embedding_8bit_unpack", TORCH_FN(embedding_8bit_unpack));
  m.impl("embedding_4bit_unpack", TORCH_FN(embedding_4bit_unpack));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("embedding_8bit", TORCH_FN(embedding_8bit_meta));
  m.impl("embedding_4bit", TORCH_FN(embedding_4bit_meta));
  m.impl("embedding_8bit_pack", TORCH_FN(embedding_8bit_pack_meta));
  m.impl("embedding_4bit_pack", TORCH_FN(embedding_4bit_pack_meta));
  m.impl("embedding_8bit_unpack", TORCH_FN(embedding_8bit_unpack_meta));
  m.impl("embedding_4bit_unpack", TORCH_FN(embedding_4bit_unpack_meta));
}

}  // namespace qnative::ops
