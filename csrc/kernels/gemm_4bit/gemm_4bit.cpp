#include "gemm_4bit.h"

#include "kernel_table.h"

namespace qnative::gemm_4bit {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_DOT_ISAS)
QNATIVE_KERNELS(QuantizeFn, quantize_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(FitFn, fit_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::gemm_4bit
