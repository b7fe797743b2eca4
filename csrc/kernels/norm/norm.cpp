#include "norm.h"

#include "kernel_table.h"

namespace qnative::norm {

QNATIVE_KERNELS(SumFn, sum_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(SumColumnsFn, sum_columns_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(SumWordsFn, sum_words_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(ScaleFn, scale_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(ScaleEachFn, scale_each_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(AffineFn, affine_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(AffineFloatFn, affine_float_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(PreluFn, prelu_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(LargestFn, largest_, QNATIVE_VECTOR_ISAS)

// Not on AVX2, where looking up four bytes in 256 entries takes as long as loading them.
QNATIVE_KERNELS(SumExponentialsFn, sum_exponentials_, QNATIVE_AVX512_VNNI)
// Bound by a load and a store of each float, on every ISA.
QNATIVE_KERNELS(ExponentialsFn, exponentials_, QNATIVE_SCALAR_ONLY)

}  // namespace qnative::norm
