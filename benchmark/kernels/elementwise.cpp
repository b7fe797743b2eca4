#include "elementwise/elementwise.h"

#include <string>
#include <vector>

#include "limits.h"

// add|mul/<isa>/<elements>: in percent of the speed of copying as many bytes. The larger size is a
// layer of 256x56x56, which the last cache level holds; the smaller one stays in L2.
namespace qnative::elementwise {
namespace {

void run(benchmark::State& state, Fn* kernel, int64_t n) {
  const std::vector<uint8_t> a(n, 100), b(n, 200);
  std::vector<uint8_t> y(n);
  const Args args{.a_zero_point = 3,
                  .b_zero_point = 7,
                  .a_multiplier = 0.7f,
                  .b_multiplier = 0.6f,
                  .a_flip = 0,
                  .b_flip = 0,
                  .requantize = {.zero_point = 5, .lo = 5, .hi = 255, .flip = 0}};
  const double seconds =
      limits::fastest(state, [&] { kernel(args, a.data(), b.data(), y.data(), n); });
  limits::report_copy(state, seconds, 3.0 * static_cast<double>(n));
}

const bool kRegistered = [] {
  const auto add = [](const char* op, std::span<const Kernel<Fn>> kernels) {
    for (const Kernel<Fn>& kernel : kernels) {
      if (!is_supported(kernel.isa)) continue;
      for (int64_t n : {65536, 256 * 56 * 56}) {
        const std::string label =
            std::string(op) + "/" + name(kernel.isa) + "/" + std::to_string(n);
        benchmark::RegisterBenchmark(label.c_str(), run, kernel.run, n);
      }
    }
  };
  add("add", add_kernels());
  add("mul", mul_kernels());
  return true;
}();

}  // namespace
}  // namespace qnative::elementwise
