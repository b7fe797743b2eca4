#include "dwconv.h"

#include "kernel_table.h"
#include "plan.h"

namespace qnative::dwconv {

QNATIVE_KERNELS(Fn, /*no prefix*/, QNATIVE_DOT_ISAS)

int64_t scratch_size(const Args& args) {
  return larger(strided_size(args),
                larger(total_size(make_plan(args, 2)), total_size(make_plan(args, 4))));
}

}  // namespace qnative::dwconv
