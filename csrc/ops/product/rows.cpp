#include "product/rows.h"

#include <algorithm>
#include <cstring>

#include "blocks.h"
#include "common/dispatch.h"
#include "common/parallel.h"
#include "common/scratch.h"

namespace qnative::ops {
namespace {

constexpr int64_t kNoOffset = 0;

// Whether kernels can read the rows where they are. They read whole groups of four bytes, and must
// not read past the end of x.
bool is_readable(const Rows& x) { return x.flip == 0 && x.k_stride == 1 && x.k % 4 == 0; }

// Rows [begin, begin + rows) as dense uint8.
void copy_rows(const Rows& x, int64_t begin, int64_t rows, uint8_t* to) {
  const uint8_t* from = x.data + begin * x.row_stride;
  if (x.k_stride == 1 && x.row_stride == x.k) return copy_flipped(from, to, rows * x.k, x.flip);
  for (int64_t i = 0; i < rows; ++i, from += x.row_stride, to += x.k) {
    if (x.k_stride == 1) {
      copy_flipped(from, to, x.k, x.flip);
    } else {
      for (int64_t k = 0; k < x.k; ++k) to[k] = from[k * x.k_stride] ^ x.flip;
    }
  }
}

// The product from row `begin` on; x stays.
gemm::Args from_row(gemm::Args args, int64_t begin) {
  args.y = static_cast<std::byte*>(args.y) + begin * args.y_stride * gemm::y_bytes(args);
  if (args.row_factor != nullptr) args.row_factor += begin;
  if (args.row_multiplier != nullptr) args.row_multiplier += begin;
  if (args.outlier_count != nullptr) {
    args.outlier_count += begin;
    args.outliers += begin * args.outlier_stride;
  }
  return args;
}

}  // namespace

void copy_flipped(const uint8_t* x, uint8_t* y, int64_t n, uint8_t flip) {
  if (flip == 0) {
    std::memcpy(y, x, n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] ^ flip;
  }
}

void run_rows(const Rows& x, const gemm::Args& product) {
  static auto& run = select(gemm::kernels());
  const bool in_place = is_readable(x);
  gemm::Args args = product;
  args.row_offset = nullptr;
  args.x_stride = in_place ? x.row_stride : x.k;
  args.segment_offset = &kNoOffset;
  args.segments = 1;
  args.segment_size = x.k;
  args.y_stride = args.n;
  const int64_t strip_rows =
      in_place ? x.m : std::min(x.m, std::max(kStripBytes / x.k, kStripRows));
  const int64_t tasks = count_tasks(x.m * x.k * args.n, kProductGrain);
  const ColumnUnits units = column_units(args.n, tasks);
  const Grid grid = divide(tasks, x.m, 1, units.count, units.size);
  const int64_t strip_bytes = in_place ? 0 : Scratch::bytes<uint8_t>(strip_rows * x.k + kSlack);
  const int64_t task_bytes =
      strip_bytes + Scratch::bytes<std::byte>(gemm::scratch_size(args, strip_rows));
  Scratch scratch(grid.row_parts * grid.column_parts * task_bytes);
  auto* const memory = scratch.take<std::byte>(grid.row_parts * grid.column_parts * task_bytes);
  run_tasks(grid.row_parts * grid.column_parts, [&](int64_t task) {
    const Part rows = part_of(x.m, grid.row_parts, task / grid.column_parts);
    const Part columns = part_of(units.count, grid.column_parts, task % grid.column_parts);
    auto* const strip = reinterpret_cast<uint8_t*>(memory + task * task_bytes);
    const int64_t strips = ceil_div(rows.end - rows.begin, strip_rows);
    for (int64_t i = 0; i < strips; ++i) {
      const Part part = part_of(rows.end - rows.begin, strips, i);
      const int64_t begin = rows.begin + part.begin, count = part.end - part.begin;
      if (!in_place) copy_rows(x, begin, count, strip);
      gemm::Args piece = from_row(args, begin);
      piece.x = in_place ? x.data + begin * x.row_stride : strip;
      run(piece, 0, count, columns.begin * units.size, columns.end * units.size,
          memory + task * task_bytes + strip_bytes);
    }
  });
}

ColumnUnits column_units(int64_t n, int64_t tasks) {
  constexpr int64_t kLarge = 4 * kPanelColumns;
  const int64_t size = n >= kLarge * tasks ? kLarge : kPanelColumns;
  return {size, ceil_div(n, size)};
}

}  // namespace qnative::ops
