#include "gemm_fp16.h"

#include "kernel_table.h"

namespace qnative::gemm_fp16 {

Fn scalar, avx2, avx512_vnni;

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

QNATIVE_KERNELS(WidenFn, widen)

}  // namespace qnative::gemm_fp16
