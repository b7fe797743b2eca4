#include "fp16.h"

namespace qnative::fp16 {

BinaryFn add_scalar, add_avx2, add_avx512_vnni;
BinaryFn mul_scalar, mul_avx2, mul_avx512_vnni;
UnaryFn unary_scalar, unary_avx2, unary_avx512_vnni;
SoftmaxFn softmax_scalar, softmax_avx2, softmax_avx512_vnni;
MaxFn max_scalar, max_avx2, max_avx512_vnni;
MeanFn mean_scalar, mean_avx2, mean_avx512_vnni;

#if defined(__x86_64__)
#define QNATIVE_FP16_KERNELS(Fn, function)           \
  std::span<const Kernel<Fn>> function##_kernels() { \
    static constexpr Kernel<Fn> kTable[] = {         \
        {Isa::kAvx512Vnni, function##_avx512_vnni},  \
        {Isa::kAvx2, function##_avx2},               \
        {Isa::kScalar, function##_scalar},           \
    };                                               \
    return kTable;                                   \
  }
#else
#define QNATIVE_FP16_KERNELS(Fn, function)                                      \
  std::span<const Kernel<Fn>> function##_kernels() {                            \
    static constexpr Kernel<Fn> kTable[] = {{Isa::kScalar, function##_scalar}}; \
    return kTable;                                                              \
  }
#endif
QNATIVE_FP16_KERNELS(BinaryFn, add)
QNATIVE_FP16_KERNELS(BinaryFn, mul)
QNATIVE_FP16_KERNELS(UnaryFn, unary)
QNATIVE_FP16_KERNELS(SoftmaxFn, softmax)
QNATIVE_FP16_KERNELS(MaxFn, max)
QNATIVE_FP16_KERNELS(MeanFn, mean)
#undef QNATIVE_FP16_KERNELS

}  // namespace qnative::fp16
