#pragma once

#include <ATen/ATen.h>

#include "common/layout.h"
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

}  // namespace qnative::ops
