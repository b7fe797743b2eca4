#pragma once

#include <stdint.h>

#include "qnative/export.h"

// About this build and this machine: plain C, for any language that can call a shared library. All
// functions may be called from any thread; the strings stay valid.
extern "C" {

// The version of torch that the library was compiled for, such as "2.13.0".
QNATIVE_API const char* qnative_torch_version();

// kMaxProductsU8S8 and kMaxProductsU8U8 of qnative/limits.h.
QNATIVE_API int64_t qnative_max_products_u8s8();
QNATIVE_API int64_t qnative_max_products_u8u8();

// The names that QNATIVE_ISA accepts, one per line, in ascending order: "scalar\navx2\n...".
QNATIVE_API const char* qnative_isas();

// One line per kernel table, with the instruction set that ops choose on this machine:
// "gemm avx512_vnni\nnorm.sum avx2\n...". Empty if QNATIVE_ISA is invalid.
QNATIVE_API const char* qnative_kernels();
}
