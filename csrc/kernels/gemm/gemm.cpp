#include "gemm.h"

#include <algorithm>

#include "layout.h"

namespace qnative::gemm {

Fn scalar;
#if defined(__x86_64__)
Fn avx2, avx512_vnni;
#endif

std::span<const Kernel<Fn>> kernels() {
  static constexpr Kernel<Fn> table[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, avx512_vnni},
      {Isa::kAvx2, avx2},
#endif
      {Isa::kScalar, scalar},
  };
  return table;
}

int64_t scratch_size(const Args& args, int64_t rows) {
  const int64_t block = std::min(wide_block_rows(args), rows);
  const int64_t panel = block >= kWidenPanelRows ? row_size(args) * kPanelColumns : 0;
  return (block * wide_row_stride(args) + panel) * static_cast<int64_t>(sizeof(int16_t));
}

}  // namespace qnative::gemm
