#include "attention.h"

#include "kernel_table.h"

namespace qnative::attention {

QNATIVE_KERNELS(ProbabilitiesFn, probabilities_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(CombineFn, combine_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(CombineFloatFn, combine_float_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(MeasureColumnsFn, measure_columns_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(QuantizeColumnsFn, quantize_columns_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(QuantizeRowsFn, quantize_rows_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(FloatRowsFn, float_rows_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::attention
