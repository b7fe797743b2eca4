#include "pool.h"

#include "kernel_table.h"

namespace qnative::pool {

QNATIVE_KERNELS(MaxFn, max_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(MeanFn, mean_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::pool
