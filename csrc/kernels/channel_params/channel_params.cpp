#include "channel_params.h"

#include "kernel_table.h"

namespace qnative::channel_params {

QNATIVE_KERNELS(Fn, scale_, QNATIVE_VECTOR_ISAS)

}  // namespace qnative::channel_params
