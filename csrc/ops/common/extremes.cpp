#include "common/extremes.h"

#include <c10/util/SmallVector.h>

#include "common/dispatch.h"
#include "common/parallel.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kExtremesGrain = 32 * 1024;  // elements a task

}  // namespace

Extremes find_extremes(const float* x, int64_t n) {
  static auto& summarize = select(quantize::summarize_kernels());
  const int64_t tasks = count_tasks(n, kExtremesGrain);
  c10::SmallVector<float, 64> extremes(2 * tasks);
  run_tasks(tasks, [&](int64_t task) {
    const Part part = part_of(n, tasks, task);
    const auto summary = summarize(x + part.begin, part.end - part.begin);
    extremes[2 * task] = summary.min;
    extremes[2 * task + 1] = summary.max;
  });
  const auto all = summarize(extremes.data(), 2 * tasks);
  return {all.min, all.max};
}

}  // namespace qnative::ops
