#include "fp16.h"

#include "kernel_table.h"

namespace qnative::fp16 {

QNATIVE_KERNELS(BinaryFn, add)
QNATIVE_KERNELS(BinaryFn, mul)
QNATIVE_KERNELS(UnaryFn, unary)
QNATIVE_KERNELS(SoftmaxFn, softmax)
QNATIVE_KERNELS(MaxFn, max)
QNATIVE_KERNELS(MeanFn, mean)

}  // namespace qnative::fp16
