#include "interpolate.h"

#include "kernel_table.h"

namespace qnative::interpolate {

QNATIVE_KERNELS(RowFn, row_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(ColumnFn, column_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(RowFp16Fn, row_fp16_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(ColumnFp16Fn, column_fp16_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::interpolate
