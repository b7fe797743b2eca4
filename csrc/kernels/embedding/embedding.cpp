#include "embedding.h"

#include "kernel_table.h"

namespace qnative::embedding {

QNATIVE_KERNELS(RowsFn, rows_8bit_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(RowsFn, rows_4bit_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(BagsFn, bags_8bit_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(BagsFn, bags_4bit_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::embedding
