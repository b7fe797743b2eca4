#include "lookup/lookup.h"

#include <string>
#include <vector>

#include "limits.h"

// lookup/<isa>/<elements>: in percent of the speed of copying as many bytes.
namespace qnative::lookup {
namespace {

void run(benchmark::State& state, Fn* kernel, int64_t n) {
  std::vector<uint8_t> x(n), y(n), table(256);
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<uint8_t>(i * 37);
  for (int i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(255 - i);
  const double seconds =
      limits::fastest(state, [&] { kernel(x.data(), y.data(), n, table.data()); });
  limits::report_copy(state, seconds, 2.0 * static_cast<double>(n));
}

const bool kRegistered = [] {
  for (const Kernel<Fn>& kernel : kernels()) {
    if (!is_supported(kernel.isa)) continue;
    for (int64_t n : {65536, 256 * 56 * 56}) {
      const std::string label = std::string("lookup/") + name(kernel.isa) + "/" + std::to_string(n);
      benchmark::RegisterBenchmark(label.c_str(), run, kernel.run, n);
    }
  }
  return true;
}();

}  // namespace
}  // namespace qnative::lookup
