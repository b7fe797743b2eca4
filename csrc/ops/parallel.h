#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

// How work is shared out to threads.
namespace qnative::ops {

// Part `i` of [0, n) cut into `parts` parts that differ by one at most.
struct Part {
  int64_t begin, end;
};
inline Part part_of(int64_t n, int64_t parts, int64_t i) {
  const int64_t size = n / parts, larger = n % parts;
  const int64_t begin = i * size + std::min(i, larger);
  return {begin, begin + size + (i < larger ? 1 : 0)};
}

// How many tasks `work` is worth, one a thread at most; `grain` is the least work of a task.
inline int64_t count_tasks(int64_t work, int64_t grain) {
  if (work < 2 * grain || at::in_parallel_region()) return 1;
  return std::min<int64_t>(at::get_num_threads(), work / grain);
}

// f(task) for task in [0, tasks), on as many threads.
template <class F>
void run_tasks(int64_t tasks, const F& f) {
  if (tasks == 1) return f(0);
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) f(task);
  });
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
