#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "gemm_4bit/gemm_4bit.h"

// Packed 4-bit weights: what weight_shape and group_size say about their bytes.
namespace qnative::ops {

// weight_shape: {N, K}. group_size: a multiple of 4, or at least K for one group in each row.
gemm_4bit::Layout layout_4bit(const char* op, at::IntArrayRef weight_shape, int64_t group_size);

// The uint8 tensor of n columns of `layout`.
void check_packed_4bit(const char* op, const at::Tensor& weight, const gemm_4bit::Layout& layout,
                       int64_t n, at::DeviceType device);

}  // namespace qnative::ops
