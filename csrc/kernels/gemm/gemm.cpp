#include "gemm.h"

#include <algorithm>

#include "kernel_table.h"
#include "layout.h"

namespace qnative::gemm {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_TILE_ISAS)

int64_t scratch_size(const Args& args, int64_t rows) {
  return std::max(wide_scratch_size(args, rows), tile_scratch_size(args, rows));
}

}  // namespace qnative::gemm
