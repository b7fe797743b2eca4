#include "channel_params.h"

#include "kernel_table.h"

namespace qnative::channel_params {

QNATIVE_KERNELS(Fn, scale)

}  // namespace qnative::channel_params
