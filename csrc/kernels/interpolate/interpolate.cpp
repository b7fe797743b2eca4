#include "interpolate.h"

#include "kernel_table.h"

namespace qnative::interpolate {

QNATIVE_KERNELS(RowFn, row)
QNATIVE_KERNELS(ColumnFn, column)
QNATIVE_KERNELS(RowFp16Fn, row_fp16)
QNATIVE_KERNELS(ColumnFp16Fn, column_fp16)

}  // namespace qnative::interpolate
