#include "pool.h"

#include "kernel_table.h"

namespace qnative::pool {

QNATIVE_KERNELS(MaxFn, max)
QNATIVE_KERNELS(MeanFn, mean)

}  // namespace qnative::pool
