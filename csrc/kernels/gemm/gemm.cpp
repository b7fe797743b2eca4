#include "gemm.h"

#include <algorithm>

#include "layout.h"

namespace qnative::gemm {

Fn scalar;
#if defined(__x86_64__)
Fn avx2, avx_vnni, avx512_vnni, amx_int8;
#endif

std::span<const Kernel<Fn>> kernels() {
  static constexpr Kernel<Fn> table[] = {
#if defined(__x86_64__)
      {Isa::kAmxInt8, amx_int8}, {Isa::kAvx512Vnni, avx512_vnni},
      {Isa::kAvxVnni, avx_vnni}, {Isa::kAvx2, avx2},
#endif
      {Isa::kScalar, scalar},
  };
  return table;
}

int64_t scratch_size(const Args& args, int64_t rows) {
  return std::max(wide_scratch_size(args, rows), tile_scratch_size(args, rows));
}

}  // namespace qnative::gemm
