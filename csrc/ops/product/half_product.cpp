#include "product/half_product.h"

#include "common/dispatch.h"
#include "common/parallel.h"

namespace qnative::ops {

void run_product(const gemm_fp16::Args& args, int64_t m) {
  static auto& gemm = select(gemm_fp16::kernels());
  const int64_t tasks = count_tasks(m * args.k * args.n, kHalfProductGrain);
  const int64_t unit = args.n >= 128 * tasks ? 128 : 16;
  const int64_t units = (args.n + unit - 1) / unit;
  const Grid grid = divide(tasks, m, 1, units, unit);
  run_tasks(grid.row_parts * grid.column_parts, [&](int64_t task) {
    const Part rows = part_of(m, grid.row_parts, task / grid.column_parts);
    const Part columns = part_of(units, grid.column_parts, task % grid.column_parts);
    gemm(args, rows.begin, rows.end, columns.begin * unit, columns.end * unit);
  });
}

}  // namespace qnative::ops
