#include "quantize.h"

#include "kernel_table.h"

namespace qnative::quantize {

QNATIVE_KERNELS(QuantizeFn, quantize_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(DequantizeFn, dequantize_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(QuantizeWordsFn, quantize_words_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(DequantizeWordsFn, dequantize_words_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(QuantizeEachFn, quantize_each_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(DequantizeEachFn, dequantize_each_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(SummarizeFn, summarize_, QNATIVE_VECTOR_ISAS)
QNATIVE_KERNELS(FindAboveFn, find_above_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::quantize
