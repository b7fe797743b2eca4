#include "interleave.h"

#include "kernel_table.h"

namespace qnative::interleave {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_AVX2)
QNATIVE_KERNELS(TransposeFn, transpose_, QNATIVE_AVX2)

}  // namespace qnative::interleave
