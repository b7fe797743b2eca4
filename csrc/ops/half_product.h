#pragma once

#include "gemm_fp16/gemm_fp16.h"

namespace qnative::ops {

// All columns of rows [0, m) of a product, in parallel.
void run_product(const gemm_fp16::Args& args, int64_t m);

}  // namespace qnative::ops
