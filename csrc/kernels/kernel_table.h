#pragma once

#include <span>

#include "isa.h"

// The kernels of one function with an implementation for every Isa: declares <function>_scalar,
// <function>_avx2 and <function>_avx512_vnni of the function type Fn, and defines
// <function>_kernels(), best first. For the .cpp of a family, inside of its namespace.
#if defined(__x86_64__)
#define QNATIVE_KERNELS(Fn, function)                              \
  std::span<const Kernel<Fn>> function##_kernels() {               \
    Fn function##_scalar, function##_avx2, function##_avx512_vnni; \
    static constexpr Kernel<Fn> kTable[] = {                       \
        {Isa::kAvx512Vnni, function##_avx512_vnni},                \
        {Isa::kAvx2, function##_avx2},                             \
        {Isa::kScalar, function##_scalar},                         \
    };                                                             \
    return kTable;                                                 \
  }
#else
#define QNATIVE_KERNELS(Fn, function)                                           \
  std::span<const Kernel<Fn>> function##_kernels() {                            \
    Fn function##_scalar;                                                       \
    static constexpr Kernel<Fn> kTable[] = {{Isa::kScalar, function##_scalar}}; \
    return kTable;                                                              \
  }
#endif
