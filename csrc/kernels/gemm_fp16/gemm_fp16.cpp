#include "gemm_fp16.h"

#include "kernel_table.h"

namespace qnative::gemm_fp16 {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(WidenFn, widen_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::gemm_fp16
