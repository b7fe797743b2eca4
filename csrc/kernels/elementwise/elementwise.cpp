#include "elementwise.h"

namespace qnative::elementwise {

Fn add_scalar, add_avx2, add_avx512_vnni;
Fn mul_scalar, mul_avx2, mul_avx512_vnni;

std::span<const Kernel<Fn>> add_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, add_avx512_vnni},
      {Isa::kAvx2, add_avx2},
#endif
      {Isa::kScalar, add_scalar},
  };
  return kTable;
}

std::span<const Kernel<Fn>> mul_kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, mul_avx512_vnni},
      {Isa::kAvx2, mul_avx2},
#endif
      {Isa::kScalar, mul_scalar},
  };
  return kTable;
}

}  // namespace qnative::elementwise
