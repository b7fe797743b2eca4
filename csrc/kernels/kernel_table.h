#pragma once

#include <span>

#include "isa.h"

// The kernel table of a function: for the .cpp of a family, inside its namespace.
//
//   QNATIVE_KERNELS(SumFn, sum_, QNATIVE_VECTOR_ISAS)
//
// declares sum_avx512_vnni, sum_avx2 and sum_scalar of function type SumFn, which the files of
// these names define, and defines sum_kernels(): best first, scalar last. The prefix may be empty.
#define QNATIVE_KERNELS(Fn, prefix, isas)                                \
  std::span<const Kernel<Fn>> prefix##kernels() {                        \
    Fn isas(QNATIVE_KERNEL_NAME, prefix) prefix##scalar;                 \
    static constexpr Kernel<Fn> kTable[] = {                             \
        isas(QNATIVE_KERNEL_ROW, prefix){Isa::kScalar, prefix##scalar}}; \
    return kTable;                                                       \
  }
#define QNATIVE_KERNEL_NAME(prefix, value, isa) prefix##isa,
#define QNATIVE_KERNEL_ROW(prefix, value, isa) {Isa::value, prefix##isa},

// The instruction sets of a table beside scalar, best first.
#if defined(__x86_64__)
#define QNATIVE_AVX2(row, prefix) row(prefix, kAvx2, avx2)
#define QNATIVE_AVX512_VNNI(row, prefix) row(prefix, kAvx512Vnni, avx512_vnni)
// Vectors of either width: what most families have.
#define QNATIVE_VECTOR_ISAS(row, prefix) QNATIVE_AVX512_VNNI(row, prefix) QNATIVE_AVX2(row, prefix)
// Dot products of bytes, for which AVX-VNNI adds an instruction.
#define QNATIVE_DOT_ISAS(row, prefix) \
  QNATIVE_AVX512_VNNI(row, prefix) row(prefix, kAvxVnni, avx_vnni) QNATIVE_AVX2(row, prefix)
// Products of matrices, for which AMX adds tiles.
#define QNATIVE_TILE_ISAS(row, prefix) row(prefix, kAmxInt8, amx_int8) QNATIVE_DOT_ISAS(row, prefix)
#else
#define QNATIVE_AVX2(row, prefix)
#define QNATIVE_AVX512_VNNI(row, prefix)
#define QNATIVE_VECTOR_ISAS(row, prefix)
#define QNATIVE_DOT_ISAS(row, prefix)
#define QNATIVE_TILE_ISAS(row, prefix)
#endif
#define QNATIVE_SCALAR_ONLY(row, prefix)
