#include "channel_params.h"

namespace qnative::channel_params {

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

}  // namespace qnative::channel_params
