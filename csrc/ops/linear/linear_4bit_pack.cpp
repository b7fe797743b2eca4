#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <tuple>
#include <vector>

#include "common/checks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "linear/layout_4bit.h"
#include "product/weight.h"
#include "qnative/ops/linear.h"
#include "quantize/checks.h"

namespace qnative::ops {
namespace {

constexpr const char* kPack4Bit = "linear_4bit_pack";
constexpr const char* kUnpack4Bit = "linear_4bit_unpack";
constexpr int64_t kPackGrain4Bit = 16 * 1024;  // weights a task

gemm_4bit::Layout check_matrix(const char* name, const at::Tensor& matrix, int64_t group_size) {
  TORCH_CHECK(matrix.dim() == 2, "qnative::", kPack4Bit, ": ", name, " must be [N, K], got ",
              matrix.sym_sizes());
  return layout_4bit(kPack4Bit, concrete(matrix.sym_sizes()), group_size);
}

gemm_4bit::Layout check_real_weight(const at::Tensor& weight, int64_t group_size,
                                    at::DeviceType device) {
  check_real(kPack4Bit, weight, device, "weight");
  return check_matrix("weight", weight, group_size);
}

gemm_4bit::Layout check_codes(const at::Tensor& codes, const at::Tensor& scale, int64_t group_size,
                              at::DeviceType device) {
  check_tensor(kPack4Bit, "codes", codes, device);
  check_dtype(kPack4Bit, "codes", codes, at::kChar);
  const gemm_4bit::Layout layout = check_matrix("codes", codes, group_size);
  check_tensor(kPack4Bit, "scale", scale, device);
  check_dtype(kPack4Bit, "scale", scale, at::kBFloat16);
  TORCH_CHECK(scale.dim() == 2 && scale.sym_size(0) == codes.sym_size(0) &&
                  scale.sym_size(1) == layout.groups(),
              "qnative::", kPack4Bit, ": scale must be [", codes.sym_size(0), ", ", layout.groups(),
              "], one for each group, got ", scale.sym_sizes());
  return layout;
}

// f(column, columns, packed) for each panel of 16 columns, in parallel.
template <class F>
at::Tensor pack_panels(const gemm_4bit::Layout& layout, int64_t n, const F& f) {
  at::Tensor packed = empty({layout.packed_bytes(n)}, at::kByte);
  auto* const to = packed.mutable_data_ptr<uint8_t>();
  run_parts(ceil_div(n, kPanelColumns), kPanelColumns * layout.k, kPackGrain4Bit,
            [&](int64_t begin, int64_t end) {
              for (int64_t panel = begin; panel < end; ++panel) {
                const int64_t column = panel * kPanelColumns;
                f(column, std::min(kPanelColumns, n - column), to + panel * layout.panel_bytes());
              }
            });
  return packed;
}

// One row of weights; returns whether they are finite.
bool quantize_row(const float* w, const gemm_4bit::Layout& layout, int8_t* codes,
                  uint16_t* scales) {
  static auto& fit = select(gemm_4bit::fit_kernels());
  for (int64_t k = 0; k < layout.k; ++k) {
    if (!std::isfinite(w[k])) return false;
  }
  for (int64_t g = 0; g < layout.groups(); ++g) {
    const int64_t begin = g * layout.group;
    const int64_t size = std::min(layout.group, layout.k - begin);
    gemm_4bit::quantize_group(fit, w + begin, size, codes + begin, scales + g);
  }
  return true;
}

}  // namespace

gemm_4bit::Layout layout_4bit(const char* op, at::IntArrayRef weight_shape, int64_t group_size) {
  check_weight_shape(op, weight_shape, 2, "[N, K]");
  const int64_t k = weight_shape[1];
  TORCH_CHECK(group_size >= 1 && (group_size % 4 == 0 || group_size >= k), "qnative::", op,
              ": group_size must be a multiple of 4, or at least K = ", k, " for one group, got ",
              group_size);
  const int64_t group = std::min(group_size, k);
  TORCH_CHECK(group <= gemm_4bit::kMaxGroup, "qnative::", op, ": a group must have at most ",
              gemm_4bit::kMaxGroup, " weights, whose products int32 can sum, got ", group);
  return {.k = k, .group = group};
}

void check_packed_4bit(const char* op, const at::Tensor& weight, const gemm_4bit::Layout& layout,
                       int64_t n, at::DeviceType device) {
  check_tensor(op, "weight", weight, device);
  check_dtype(op, "weight", weight, at::kByte);
  // Below 2^63: n and k are below 2^31, and a step has 4 weights of a column at least.
  const int64_t bytes = layout.packed_bytes(n);
  TORCH_CHECK(weight.dim() == 1 && weight.sym_size(0) == bytes && weight.is_contiguous(),
              "qnative::", op, ": weight must be a packed weight of ", bytes,
              " contiguous bytes to fit weight_shape and group_size, got shape ",
              weight.sym_sizes(), " and strides ", weight.sym_strides());
}

at::Tensor linear_4bit_pack(const at::Tensor& weight, int64_t group_size) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const gemm_4bit::Layout layout = check_real_weight(weight, group_size, at::kCPU);
  const at::Tensor real = weight.to(at::kFloat).contiguous();
  const float* const from = real.const_data_ptr<float>();
  std::atomic<int64_t> wrong = -1;
  at::Tensor packed =
      pack_panels(layout, weight.size(0), [&](int64_t column, int64_t columns, uint8_t* to) {
        std::vector<int8_t> codes(columns * layout.k);
        std::vector<uint16_t> scales(columns * layout.groups());
        for (int64_t i = 0; i < columns; ++i) {
          if (!quantize_row(from + (column + i) * layout.k, layout, codes.data() + i * layout.k,
                            scales.data() + i * layout.groups())) {
            wrong = column + i;
          }
        }
        gemm_4bit::pack(codes.data(), scales.data(), layout, columns, to);
      });
  TORCH_CHECK(wrong < 0, "qnative::", kPack4Bit,
              ": weight must be finite as Float, got inf or NaN in row ", wrong.load());
  return packed;
}

at::Tensor linear_4bit_pack(const at::Tensor& codes, const at::Tensor& scale, int64_t group_size) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const gemm_4bit::Layout layout = check_codes(codes, scale, group_size, at::kCPU);
  const at::Tensor dense = codes.contiguous(), dense_scale = scale.contiguous();
  const auto [low, high] = at::aminmax(dense);
  TORCH_CHECK(low.item<int64_t>() >= -8 && high.item<int64_t>() <= 7, "qnative::", kPack4Bit,
              ": codes must be in [-8, 7], got ", low.item<int64_t>(), " to ",
              high.item<int64_t>());
  TORCH_CHECK(dense_scale.isfinite().all().item<bool>(), "qnative::", kPack4Bit,
              ": scale must be finite, got inf or NaN");
  const auto* const from = dense.const_data_ptr<int8_t>();
  const auto* const scales = static_cast<const uint16_t*>(dense_scale.const_data_ptr());
  return pack_panels(layout, codes.size(0), [&](int64_t column, int64_t columns, uint8_t* to) {
    gemm_4bit::pack(from + column * layout.k, scales + column * layout.groups(), layout, columns,
                    to);
  });
}

Codes4Bit linear_4bit_unpack(const at::Tensor& weight, at::IntArrayRef shape, int64_t group_size) {
  const gemm_4bit::Layout layout = layout_4bit(kUnpack4Bit, shape, group_size);
  check_packed_4bit(kUnpack4Bit, weight, layout, shape[0], at::kCPU);
  Codes4Bit unpacked{empty(shape, at::kChar), empty({shape[0], layout.groups()}, at::kBFloat16)};
  gemm_4bit::unpack(weight.const_data_ptr<uint8_t>(), layout, shape[0],
                    unpacked.codes.mutable_data_ptr<int8_t>(),
                    static_cast<uint16_t*>(unpacked.scale.mutable_data_ptr()));
  return unpacked;
}

namespace {

at::Tensor pack_4bit_op(const at::Tensor& weight, int64_t group_size) {
  return linear_4bit_pack(weight, group_size);
}

at::Tensor pack_codes_op(const at::Tensor& codes, const at::Tensor& scale, int64_t group_size) {
  return linear_4bit_pack(codes, scale, group_size);
}

std::tuple<at::Tensor, at::Tensor> unpack_4bit_op(const at::Tensor& weight,
                                                  at::IntArrayRef weight_shape,
                                                  int64_t group_size) {
  Codes4Bit unpacked = linear_4bit_unpack(weight, weight_shape, group_size);
  return {std::move(unpacked.codes), std::move(unpacked.scale)};
}

at::Tensor packed_meta(const gemm_4bit::Layout& layout, const at::Tensor& matrix) {
  return at::empty({layout.packed_bytes(concrete(matrix.sym_size(0)))},
                   matrix.options().dtype(at::kByte));
}

at::Tensor pack_4bit_meta(const at::Tensor& weight, c10::SymInt group_size) {
  return packed_meta(check_real_weight(weight, concrete(group_size), at::kMeta), weight);
}

at::Tensor pack_codes_meta(const at::Tensor& codes, const at::Tensor& scale,
                           c10::SymInt group_size) {
  return packed_meta(check_codes(codes, scale, concrete(group_size), at::kMeta), codes);
}

std::tuple<at::Tensor, at::Tensor> unpack_4bit_meta(const at::Tensor& weight,
                                                    c10::SymIntArrayRef weight_shape,
                                                    c10::SymInt group_size) {
  const at::DimVector sizes = concrete(weight_shape);
  const gemm_4bit::Layout layout = layout_4bit(kUnpack4Bit, sizes, concrete(group_size));
  check_packed_4bit(kUnpack4Bit, weight, layout, sizes[0], at::kMeta);
  return {at::empty(sizes, weight.options().dtype(at::kChar)),
          at::empty({sizes[0], layout.groups()}, weight.options().dtype(at::kBFloat16))};
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("linear_4bit_pack", TORCH_FN(pack_4bit_op));
  m.impl("linear_4bit_pack.codes", TORCH_FN(pack_codes_op));
  m.impl("linear_4bit_unpack", TORCH_FN(unpack_4bit_op));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("linear_4bit_pack", TORCH_FN(pack_4bit_meta));
  m.impl("linear_4bit_pack.codes", TORCH_FN(pack_codes_meta));
  m.impl("linear_4bit_unpack", TORCH_FN(unpack_4bit_meta));
}

}  // namespace qnative::ops
