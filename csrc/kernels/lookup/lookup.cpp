#include "lookup.h"

#include "kernel_table.h"

namespace qnative::lookup {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::lookup
