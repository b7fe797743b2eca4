#include "dwconv.h"

#include "plan.h"

namespace qnative::dwconv {

Fn scalar;
#if defined(__x86_64__)
Fn avx2, avx_vnni, avx512_vnni;
#endif

std::span<const Kernel<Fn>> kernels() {
  static constexpr Kernel<Fn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, avx512_vnni},
      {Isa::kAvxVnni, avx_vnni},
      {Isa::kAvx2, avx2},
#endif
      {Isa::kScalar, scalar}};
  return kTable;
}

int64_t scratch_size(const Args& args) {
  return larger(strided_size(args),
                larger(total_size(make_plan(args, 2)), total_size(make_plan(args, 4))));
}

}  // namespace qnative::dwconv
