#include "quantize.h"

#include "kernel_table.h"

namespace qnative::quantize {

QNATIVE_KERNELS(QuantizeFn, quantize)
QNATIVE_KERNELS(DequantizeFn, dequantize)
QNATIVE_KERNELS(QuantizeEachFn, quantize_each)
QNATIVE_KERNELS(DequantizeEachFn, dequantize_each)
QNATIVE_KERNELS(SummarizeFn, summarize)
QNATIVE_KERNELS(FindAboveFn, find_above)

}  // namespace qnative::quantize
