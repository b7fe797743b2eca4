#include "gemm_fp16.h"

namespace qnative::gemm_fp16 {

Fn scalar, avx2, avx512_vnni;
WidenFn widen_scalar, widen_avx2, widen_avx512_vnni;

std::span<const Kernel<Fn>> kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, avx512_vnni},
      {Isa::kAvx2, avx2},
#endif
      {Isa::kScalar, scalar},
  };
  return kTable;
}

std::span<const Kernel<WidenFn>> widen_kernels() {
  static constexpr Kernel<WidenFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, widen_avx512_vnni},
      {Isa::kAvx2, widen_avx2},
#endif
      {Isa::kScalar, widen_scalar},
  };
  return kTable;
}

}  // namespace qnative::gemm_fp16
