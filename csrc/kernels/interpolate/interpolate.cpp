#include "interpolate.h"

namespace qnative::interpolate {

RowFn row_scalar, row_avx2, row_avx512_vnni;
ColumnFn column_scalar, column_avx2, column_avx512_vnni;

std::span<const Kernel<RowFn>> row_kernels() {
  static constexpr Kernel<RowFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, row_avx512_vnni},
      {Isa::kAvx2, row_avx2},
#endif
      {Isa::kScalar, row_scalar},
  };
  return kTable;
}

std::span<const Kernel<ColumnFn>> column_kernels() {
  static constexpr Kernel<ColumnFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, column_avx512_vnni},
      {Isa::kAvx2, column_avx2},
#endif
      {Isa::kScalar, column_scalar},
  };
  return kTable;
}

}  // namespace qnative::interpolate
