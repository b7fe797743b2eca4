#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <limits>

// How work is shared out to threads.
namespace qnative::ops {

// Part `i` of [0, n) cut into `parts` parts that differ by one at most.
struct Part {
  int64_t begin, end;
};
inline Part part_of(int64_t n, int64_t parts, int64_t i) {
  if (parts == 1) return {0, n};  // divisions would show in the time of a small op
  const int64_t size = n / parts, larger = n % parts;
  const int64_t begin = i * size + std::min(i, larger);
  return {begin, begin + size + (i < larger ? 1 : 0)};
}

// How many tasks `work` is worth, one a thread at most; `grain` is the least work of a task.
inline int64_t count_tasks(int64_t work, int64_t grain) {
  if (work < 2 * grain || at::in_parallel_region()) return 1;
  return std::min<int64_t>(at::get_num_threads(), work / grain);
}

// The least work of a task of an integer product, in multiply-adds.
inline constexpr int64_t kProductGrain = 1 << 20;

// f(task) for task in [0, tasks), on as many threads.
template <class F>
void run_tasks(int64_t tasks, const F& f) {
  if (tasks == 1) return f(0);
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) f(task);
  });
}

// At most `tasks` tasks over rows times column units, each a range of both: of the divisions the
// one with the smallest largest task, and of those the one that reads least, in bytes that a row
// (row_size) and a unit (unit_size) take.
struct Grid {
  int64_t row_parts, column_parts;
};
inline Grid divide(int64_t tasks, int64_t rows, int64_t row_size, int64_t units,
                   int64_t unit_size) {
  Grid best{1, 1};
  if (tasks == 1) return best;
  int64_t best_work = std::numeric_limits<int64_t>::max(), best_read = 0;
  for (int64_t column_parts = 1; column_parts <= std::min(tasks, units); ++column_parts) {
    const int64_t row_parts = std::min(tasks / column_parts, rows);
    const int64_t task_rows = (rows + row_parts - 1) / row_parts;
    const int64_t task_units = (units + column_parts - 1) / column_parts;
    const int64_t work = task_rows * task_units;
    const int64_t read = task_rows * row_size + task_units * unit_size;
    if (work < best_work || (work == best_work && read < best_read)) {
      best_work = work;
      best_read = read;
      best = {row_parts, column_parts};
    }
  }
  return best;
}

// f(begin, end) for balanced parts of [0, n); `unit` is the work of one of the n.
template <class F>
void run_parts(int64_t n, int64_t unit, int64_t grain, const F& f) {
  const int64_t tasks = std::min(n, count_tasks(n * unit, grain));
  if (n == 0) return;
  run_tasks(tasks, [&](int64_t task) {
    const Part part = part_of(n, tasks, task);
    f(part.begin, part.end);
  });
}

}  // namespace qnative::ops
