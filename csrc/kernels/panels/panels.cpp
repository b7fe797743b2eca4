#include "panels.h"

#include "kernel_table.h"

namespace qnative::panels {

// Bound by loads and stores: wider vectors would not help.
QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_AVX2)

}  // namespace qnative::panels
