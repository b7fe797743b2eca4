#include "norm.h"

namespace qnative::norm {

SumFn sum_scalar, sum_avx2, sum_avx512_vnni;
SumColumnsFn sum_columns_scalar, sum_columns_avx2, sum_columns_avx512_vnni;
ScaleFn scale_scalar, scale_avx2, scale_avx512_vnni;
ScaleEachFn scale_each_scalar, scale_each_avx2, scale_each_avx512_vnni;
AffineFn affine_scalar, affine_avx2, affine_avx512_vnni;
AffineFloatFn affine_float_scalar, affine_float_avx2, affine_float_avx512_vnni;
PreluFn prelu_scalar, prelu_avx2, prelu_avx512_vnni;
LargestFn largest_scalar, largest_avx2, largest_avx512_vnni;
SumExponentialsFn sum_exponentials_scalar, sum_exponentials_avx512_vnni;
ExponentialsFn exponentials_scalar;

#if defined(__x86_64__)
#define QNATIVE_NORM_KERNELS(Fn, function)           \
  std::span<const Kernel<Fn>> function##_kernels() { \
    static constexpr Kernel<Fn> kTable[] = {         \
        {Isa::kAvx512Vnni, function##_avx512_vnni},  \
        {Isa::kAvx2, function##_avx2},               \
        {Isa::kScalar, function##_scalar},           \
    };                                               \
    return kTable;                                   \
  }
#else
#define QNATIVE_NORM_KERNELS(Fn, function)                                      \
  std::span<const Kernel<Fn>> function##_kernels() {                            \
    static constexpr Kernel<Fn> kTable[] = {{Isa::kScalar, function##_scalar}}; \
    return kTable;                                                              \
  }
#endif
QNATIVE_NORM_KERNELS(SumFn, sum)
QNATIVE_NORM_KERNELS(SumColumnsFn, sum_columns)
QNATIVE_NORM_KERNELS(ScaleFn, scale)
QNATIVE_NORM_KERNELS(ScaleEachFn, scale_each)
QNATIVE_NORM_KERNELS(AffineFn, affine)
QNATIVE_NORM_KERNELS(AffineFloatFn, affine_float)
QNATIVE_NORM_KERNELS(PreluFn, prelu)
QNATIVE_NORM_KERNELS(LargestFn, largest)
#undef QNATIVE_NORM_KERNELS

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
