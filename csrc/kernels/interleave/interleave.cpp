#include "interleave.h"

namespace qnative::interleave {

Fn scalar, avx2;

std::span<const Kernel<Fn>> kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx2, avx2},
#endif
      {Isa::kScalar, scalar},
  };
  return kTable;
}

}  // namespace qnative::interleave
