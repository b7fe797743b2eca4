#include "gemm_fp16/gemm_fp16.h"

#include <limits>
#include <string>
#include <vector>

#include "limits.h"

// gemm_fp16/<isa>/<m>x<k>x<n>: in percent of the speed of reading the weight once. More rows do
// more with each weight that is read, so that it falls.
// widen/<isa>/<elements>: in percent of the speed of copying.
namespace qnative::gemm_fp16 {
namespace {

struct Shape {
  int64_t m, k, n;
};

constexpr Shape kShapes[] = {{1, 1024, 1024}, {1, 768, 3072}, {16, 768, 768}, {128, 384, 1536}};
constexpr int64_t kWidened[] = {4096, 1 << 20};

void run(benchmark::State& state, const Shape& s, Fn* kernel) {
  const std::vector<float> x(s.m * s.k, 0.25f), bias(s.n + 16, 1);
  const std::vector<uint16_t> packed(packed_size(s.n, s.k), 0x3800);
  std::vector<float> y(s.m * s.n);
  const Args args = {.x = x.data(),
                     .x_stride = s.k,
                     .k = s.k,
                     .weight = packed.data(),
                     .bias = bias.data(),
                     .n = s.n,
                     .y = y.data(),
                     .y_stride = s.n,
                     .half_output = false,
                     .activation = {},
                     .lo = -std::numeric_limits<float>::infinity(),
                     .hi = std::numeric_limits<float>::infinity()};
  const double seconds = limits::fastest(state, [&] { kernel(args, 0, s.m, 0, s.n); });
  limits::report_read(state, seconds, static_cast<double>(2 * s.k * s.n));
}

const bool kRegistered = [] {
  for (const auto& kernel : kernels()) {
    if (!is_supported(kernel.isa)) continue;
    for (const Shape& s : kShapes) {
      const std::string label = std::string("gemm_fp16/") + name(kernel.isa) + "/" +
                                std::to_string(s.m) + "x" + std::to_string(s.k) + "x" +
                                std::to_string(s.n);
      benchmark::RegisterBenchmark(label.c_str(),
                                   [=](benchmark::State& state) { run(state, s, kernel.run); });
    }
  }
  for (const auto& kernel : widen_kernels()) {
    if (!is_supported(kernel.isa)) continue;
    for (int64_t n : kWidened) {
      const std::string label = std::string("widen/") + name(kernel.isa) + "/" + std::to_string(n);
      benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
        const std::vector<uint16_t> x(n, 0x3800);
        std::vector<float> y(n);
        const double seconds = limits::fastest(state, [&] { kernel.run(x.data(), y.data(), n); });
        limits::report_copy(state, seconds, static_cast<double>(6 * n));
      });
    }
  }
  return true;
}();

}  // namespace
}  // namespace qnative::gemm_fp16
