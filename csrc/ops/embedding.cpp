#include "embedding/embedding.h"

#include <torch/library.h>

#include <atomic>

#include "checks.h"
#include "dispatch.h"
#include "embedding/pack.h"
#include "embedding_table.h"
#include "output.h"
#include "parallel.h"
#include "qnative/ops.h"
#include "quantize.h"

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
  const Table table(args, y_sizes.back());
  const at::Tensor rows = to_long(indices);
  const int64_t* from = rows.const_data_ptr<int64_t>();
  check_indices(args.op, from, rows.numel(), args.weight.size(0));
  const at::Tensor y = empty(y_sizes, at::kFloat);
  if (y.numel() == 0) return y;
  float* to = y.mutable_data_ptr<float>();
  const int64_t dim = table.view().dim;
  run_parts(rows.numel(), dim, kGrain, [&](int64_t begin, int64_t end) {
    run(table.view(), from + begin, end - begin, to + begin * dim);
  });
  return y;
}

at::Tensor rows_meta(const TableArgs<c10::SymInt>& args, const at::Tensor& indices) {
  return at::empty_symint(check_rows(args, indices, at::kMeta), args.scale.options());
}

at::Tensor embedding_8bit_meta(const at::Tensor& weight, const at::Tensor& weight_scale,
                               const at::Tensor& weight_bias, const at::Tensor& indices) {
  return rows_meta({"embedding_8bit", weight, weight_scale, weight_bias, {}}, indices);
}

at::Tensor embedding_4bit_meta(const at::Tensor& weight, const at::Tensor& weight_scale,
                               const at::Tensor& weight_bias, c10::SymInt embedding_dim,
                               const at::Tensor& indices) {
  return rows_meta({"embedding_4bit", weight, weight_scale, weight_bias, embedding_dim}, indices);
}

// ---- pack, unpack --------------------------------------------------------------------------

void check_pack(const char* op, const at::Tensor& weight, at::DeviceType device) {
  check_real(op, weight, device, "weight");
  TORCH_CHECK(weight.dim() == 2, "qnative::", op, ": weight must be [rows, D], got ",
              weight.sym_sizes());
}

using Packed = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

Packed run_pack(const char* op, const at::Tensor& weight, int64_t per_byte,
                decltype(embedding::pack_row_8bit)& pack_row) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_pack(op, weight, at::kCPU);
  const int64_t rows = weight.size(0), dim = weight.size(1);
  const int64_t row_bytes = (dim + per_byte - 1) / per_byte;
  const at::Tensor real = weight.to(at::kFloat).contiguous();
  Packed packed{empty({rows, row_bytes}, at::kByte), empty({rows}, at::kFloat),
                empty({rows}, at::kFloat)};
  const float* from = real.const_data_ptr<float>();
  auto* to = std::get<0>(packed).mutable_data_ptr<uint8_t>();
  float* scale = std::get<1>(packed).mutable_data_ptr<float>();
  float* bias = std::get<2>(packed).mutable_data_ptr<float>();
  std::atomic<int64_t> wrong = -1;
  run_parts(rows, dim, kPackGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!pack_row(from + r * dim, dim, to + r * row_bytes, scale + r, bias + r)) wrong = r;
    }
  });
  TORCH_CHECK(wrong < 0, "qnative::", op,
              ": weight must be finite as Float, got inf or NaN in row ", wrong.load());
  return packed;
}

Packed pack_meta(const char* op, const at::Tensor& weight, int64_t per_byte) {
  check_pack(op, weight, at::kMeta);
  const c10::SymInt rows = weight.sym_size(0), dim = weight.sym_size(1);
  const auto options = weight.options();
  return {at::empty_symint({rows, (dim + per_byte - 1) / per_byte}, options.dtype(at::kByte)),
          at::empty_symint({rows}, options.dtype(at::kFloat)),
          at::empty_symint({rows}, options.dtype(at::kFloat))};
}

Packed embedding_8bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_8bit_pack", weight, 1);
}

Packed embedding_4bit_pack_meta(const at::Tensor& weight) {
  return pack_meta("embedding_4bit_pack", weight, 2);
}

at::Tensor run_unpack(const TableArgs<int64_t>& args, embedding::RowsFn& run) {
  args.check(at::kCPU);
  return run_rows(args, at::arange(args.weight.size(0), at::kLong), run);
}

at::Tensor unpack_meta(const TableArgs<c10::SymInt>& args) {
  const c10::SymInt dim = args.check(at::kMeta);
  return at::empty_symint({args.weight.sym_size(0), dim}, args.scale.options());
}

at::Tensor embedding_8bit_unpack_meta(const at::Tensor& weight, const at::Tensor& weight_scale,
                                      const at::Tensor& weight_bias) {
  return unpack_meta({"embedding_8bit_unpack", weight, weight_scale, weight_bias, {}});
}

at::Tensor embedding_4bit_unpack_meta(const at::Tensor& weight, const at::Tensor& weight_scale,
                                      const at::Tensor& weight_bias, c10::SymInt embedding_dim) {
  return unpack_meta({"embedding_4bit_unpack", weight, weight_scale, weight_bias, embedding_dim});
}

}  // namespace

at::Tensor embedding_8bit(const at::Tensor& weight, const at::Tensor& weight_scale,
                          const at::Tensor& weight_bias, const at::Tensor& indices) {
  static auto& run = select(embedding::rows_8bit_kernels());
  return run_rows({"embedding_8bit", weight, weight_scale, weight_bias, {}}, indices, run);
}

at::Tensor embedding_4bit(const at::Tensor& weight, const at::Tensor& weight_scale,
                          const at::Tensor& weight_bias, int64_t embedding_dim,
                          const at::Tensor& indices) {
  static auto& run = select(embedding::rows_4bit_kernels());
  return run_rows({"embedding_4bit", weight, weight_scale, weight_bias, embedding_dim}, indices,
                  run);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> embedding_8bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_8bit_pack", weight, 1, embedding::pack_row_8bit);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> embedding_4bit_pack(const at::Tensor& weight) {
  return run_pack("embedding_4bit_pack", weight, 2, embedding::pack_row_4bit);
}

at::Tensor embedding_8bit_unpack(const at::Tensor& weight, const at::Tensor& weight_scale,
                                 const at::Tensor& weight_bias) {
  static auto& run = select(embedding::rows_8bit_kernels());
  return run_unpack({"embedding_8bit_unpack", weight, weight_scale, weight_bias, {}}, run);
}

at::Tensor embedding_4bit_unpack(const at::Tensor& weight, const at::Tensor& weight_scale,
                                 const at::Tensor& weight_bias, int64_t embedding_dim) {
  static auto& run = select(embedding::rows_4bit_kernels());
  return run_unpack({"embedding_4bit_unpack", weight, weight_scale, weight_bias, embedding_dim},
                    run);
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
