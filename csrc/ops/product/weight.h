#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "blocks.h"
#include "qnative/types.h"

// Packed weights: what weight_shape says about the bytes of a packed tensor.
namespace qnative::ops {

// `groups` parts packed by gemm::pack(n, segments, segment_size), one after the other.
struct WeightLayout {
  int64_t groups, n, segments, segment_size;

  int64_t group_bytes() const;
  int64_t panel_bytes() const;  // of one group; its column sums follow
  int64_t padded_n() const { return round_up(n, kPanelColumns); }
};

// weight_shape of linear, {N, K}.
WeightLayout linear_layout(const char* op, at::IntArrayRef weight_shape);

// weight_shape has `rank` sizes, which `form` names; so many products make up a sum.
void check_weight_shape(const char* op, at::IntArrayRef weight_shape, int64_t rank,
                        const char* form);
void check_products(const char* op, at::IntArrayRef weight_shape, double products);

// The int8 tensor of `layout`.
void check_packed(const char* op, const at::Tensor& weight, const WeightLayout& layout,
                  at::DeviceType device);

// Checks of all linear ops: x [..., K] and the parameters of the output channels fit the layout.
// Returns the shape of y.
template <class Int>
c10::SmallVector<Int, at::kDimVectorStaticSize> check_linear_operands(const char* op,
                                                                      const at::Tensor& x,
                                                                      const PackedWeight& w,
                                                                      const WeightLayout& layout,
                                                                      at::DeviceType device);

// [..., N] for x [..., K].
template <class Int>
c10::SmallVector<Int, at::kDimVectorStaticSize> linear_sizes(const char* op, const at::Tensor& x,
                                                             int64_t n, int64_t k);

// An int8 weight before packing, of `rank` dimensions.
void check_unpacked(const char* op, const at::Tensor& weight, const char* form, int64_t rank,
                    at::DeviceType device);

// SymInt arguments that describe weights are numbers: a traced program has its weights.
at::DimVector concrete(c10::SymIntArrayRef values);
int64_t concrete(const c10::SymInt& value);
inline at::IntArrayRef concrete(at::IntArrayRef values) { return values; }
inline int64_t concrete(int64_t value) { return value; }

}  // namespace qnative::ops
