#include "elementwise.h"

#include "kernel_table.h"

namespace qnative::elementwise {

QNATIVE_KERNELS(Fn, add)
QNATIVE_KERNELS(Fn, mul)

}  // namespace qnative::elementwise
