#include "fp16.h"

#include "kernel_table.h"

namespace qnative::fp16 {

QNATIVE_KERNELS(BinaryFn, add_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(BinaryFn, mul_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(UnaryFn, unary_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(SoftmaxFn, softmax_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(MaxFn, max_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(MeanFn, mean_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::fp16
