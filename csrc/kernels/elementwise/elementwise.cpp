#include "elementwise.h"

#include "kernel_table.h"

namespace qnative::elementwise {

QNATIVE_KERNELS(Fn, add_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(Fn, mul_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::elementwise
