#pragma once

#include <ATen/ATen.h>

#include "common/layout.h"
#include "common/planned.h"
#include "qnative/ops/attention.h"

// Shapes of attention, checked, for CPU and Meta functions.
namespace qnative::ops {

template <class Int>
struct AttentionShape {
  Int queries, keys;     // L, S
  Int size, value_size;  // E, Ev
  Dims<Int> batch;       // of y, [..., L, Ev]
  Layout<Int> y;
};

// Errors name `op`, the arguments and their sizes.
template <class Int>
AttentionShape<Int> attention_shape(const char* op, const at::Tensor& q, const at::Tensor& k,
                                    const at::Tensor& v, const AttentionOptions& options,
                                    at::DeviceType device);

// The factor of the scores: options.scale, or 1 / sqrt(size).
double softmax_scale(const AttentionOptions& options, int64_t size);

// The inputs of an op: q, k, v and the mask, if there is one.
class AttentionInputs {
 public:
  AttentionInputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttentionOptions& options);
  operator Inputs() const { return tensors_; }

 private:
  c10::SmallVector<const at::Tensor*, 4> tensors_;
};

// Both products, of the keys that a causal mask hides too.
Work attention_work(const AttentionShape<int64_t>& shape);

// The mask is an input, not an option, of a plan.
at::Tensor mask_of(Inputs x);  // undefined if there is none
AttentionOptions without_mask(const AttentionOptions& options);
AttentionOptions with_mask(const AttentionOptions& options, Inputs x);

// attn_mask, is_causal, scale, enable_gqa
AttentionOptions read_options(Arguments& arguments);

}  // namespace qnative::ops
