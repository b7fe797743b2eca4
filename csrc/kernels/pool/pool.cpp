#include "pool.h"

namespace qnative::pool {

MaxFn max_scalar, max_avx2, max_avx512_vnni;
MeanFn mean_scalar, mean_avx2, mean_avx512_vnni;

std::span<const Kernel<MaxFn>> max_kernels() {
  static constexpr Kernel<MaxFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, max_avx512_vnni},
      {Isa::kAvx2, max_avx2},
#endif
      {Isa::kScalar, max_scalar},
  };
  return kTable;
}

std::span<const Kernel<MeanFn>> mean_kernels() {
  static constexpr Kernel<MeanFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, mean_avx512_vnni},
      {Isa::kAvx2, mean_avx2},
#endif
      {Isa::kScalar, mean_scalar},
  };
  return kTable;
}

}  // namespace qnative::pool
