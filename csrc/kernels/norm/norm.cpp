#include "norm.h"

#include "kernel_table.h"

namespace qnative::norm {

SumExponentialsFn sum_exponentials_scalar, sum_exponentials_avx512_vnni;
ExponentialsFn exponentials_scalar;

QNATIVE_KERNELS(SumFn, sum)
QNATIVE_KERNELS(SumColumnsFn, sum_columns)
QNATIVE_KERNELS(ScaleFn, scale)
QNATIVE_KERNELS(ScaleEachFn, scale_each)
QNATIVE_KERNELS(AffineFn, affine)
QNATIVE_KERNELS(AffineFloatFn, affine_float)
QNATIVE_KERNELS(PreluFn, prelu)
QNATIVE_KERNELS(LargestFn, largest)

// Without a row for AVX2, whose lookups of four bytes in 256 take as long as a load.
std::span<const Kernel<SumExponentialsFn>> sum_exponentials_kernels() {
  static constexpr Kernel<SumExponentialsFn> kTable[] = {
#if defined(__x86_64__)
      {Isa::kAvx512Vnni, sum_exponentials_avx512_vnni},
#endif
      {Isa::kScalar, sum_exponentials_scalar},
  };
  return kTable;
}

// Bound by a load and a store of each float, on every ISA.
std::span<const Kernel<ExponentialsFn>> exponentials_kernels() {
  static constexpr Kernel<ExponentialsFn> kTable[] = {{Isa::kScalar, exponentials_scalar}};
  return kTable;
}

}  // namespace qnative::norm
