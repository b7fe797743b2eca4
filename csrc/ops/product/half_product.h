#pragma once

#include <cstdint>

#include "gemm_fp16/gemm_fp16.h"

namespace qnative::ops {

inline constexpr int64_t kHalfProductGrain = 1 << 18;  // multiply-adds a task

// All columns of rows [0, m) of a product, in parallel.
void run_product(const gemm_fp16::Args& args, int64_t m);

}  // namespace qnative::ops
