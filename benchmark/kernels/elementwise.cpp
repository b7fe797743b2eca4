#include "elementwise/elementwise.h"

#include <string>
#include <vector>

#include "limits.h"

// add|mul/<isa>/<elements>: in percent of the speed of copying as many bytes. The larger size is a
// layer of 256x56x56, which the last cache level holds; the smaller one stays in L2. add_words is
// add of int16 tensors.
namespace qnative::elementwise {
namespace {

void run(benchmark::State& state, Fn* kernel, int64_t n, bool is_word) {
  const int64_t bytes = is_word ? 2 : 1;
  const std::vector<uint8_t> a(n * bytes, 100), b(n * bytes, 200);
  std::vector<uint8_t> y(n * bytes);
  const Args args{.a_zero_point = 3,
                  .b_zero_point = 7,
                  .a_multiplier = 0.7f,
                  .b_multiplier = 0.6f,
                  .a_flip = 0,
                  .b_flip = 0,
                  .requantize = is_word
                                    ? Requantize{0, -32768, 32767, 0}
                                    : Requantize{.zero_point = 5, .lo = 5, .hi = 255, .flip = 0},
                  .a_is_word = is_word,
                  .b_is_word = is_word,
                  .y_is_word = is_word};
  const double seconds =
      limits::fastest(state, [&] { kernel(args, a.data(), b.data(), y.data(), n); });
  limits::report_copy(state, seconds, 3.0 * static_cast<double>(n * bytes));
}

const bool kRegistered = [] {
  const auto add = [](const char* op, std::span<const Kernel<Fn>> kernels, bool is_word) {
    for (const Kernel<Fn>& kernel : kernels) {
      if (!is_supported(kernel.isa)) continue;
      for (int64_t n : {65536, 256 * 56 * 56}) {
        const std::string label =
            std::string(op) + "/" + name(kernel.isa) + "/" + std::to_string(n);
        benchmark::RegisterBenchmark(label.c_str(), run, kernel.run, n, is_word);
      }
    }
  };
  add("add", add_kernels(), false);
  add("add_words", add_kernels(), true);
  add("mul", mul_kernels(), false);
  return true;
}();

}  // namespace
}  // namespace qnative::elementwise
