#include "embedding.h"

#include "kernel_table.h"

namespace qnative::embedding {

QNATIVE_KERNELS(RowsFn, rows_8bit)
QNATIVE_KERNELS(RowsFn, rows_4bit)
QNATIVE_KERNELS(BagsFn, bags_8bit)
QNATIVE_KERNELS(BagsFn, bags_4bit)

}  // namespace qnative::embedding
