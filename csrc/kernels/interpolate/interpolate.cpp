#include "interpolate.h"

namespace qnative::interpolate {

RowFn row_scalar, row_avx2, row_avx512_vnni;
ColumnFn column_scalar, column_avx2, column_avx512_vnni;
RowFp16Fn row_fp16_scalar, row_fp16_avx2, row_fp16_avx512_vnni;
ColumnFp16Fn column_fp16_scalar, column_fp16_avx2, column_fp16_avx512_vnni;

#if defined(__x86_64__)
#define QNATIVE_INTERPOLATE_KERNELS(Fn, function)    \
  std::span<const Kernel<Fn>> function##_kernels() { \
    static constexpr Kernel<Fn> kTable[] = {         \
        {Isa::kAvx512Vnni, function##_avx512_vnni},  \
        {Isa::kAvx2, function##_avx2},               \
        {Isa::kScalar, function##_scalar},           \
    };                                               \
    return kTable;                                   \
  }
#else
#define QNATIVE_INTERPOLATE_KERNELS(Fn, function)                               \
  std::span<const Kernel<Fn>> function##_kernels() {                            \
    static constexpr Kernel<Fn> kTable[] = {{Isa::kScalar, function##_scalar}}; \
    return kTable;                                                              \
  }
#endif
QNATIVE_INTERPOLATE_KERNELS(RowFn, row)
QNATIVE_INTERPOLATE_KERNELS(ColumnFn, column)
QNATIVE_INTERPOLATE_KERNELS(RowFp16Fn, row_fp16)
QNATIVE_INTERPOLATE_KERNELS(ColumnFp16Fn, column_fp16)
#undef QNATIVE_INTERPOLATE_KERNELS

}  // namespace qnative::interpolate
