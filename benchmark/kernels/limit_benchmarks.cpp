#include <functional>
#include <string>

#include "limits.h"

// limit/<name>: limits of the machine, for benchmarks outside this program. "dot/<isa>"
// counts "ops/s", "copy/<bytes>" counts "bytes/s".
namespace qnative::limits {
namespace {

constexpr int64_t kSmallest = 4 << 10, kLargest = 64 << 20;

void add(const std::string& label, const char* rate, const std::function<double()>& measure) {
  benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
    for (auto _ : state) state.counters[rate] = measure();
  })->Iterations(1);
}

const bool kRegistered = [] {
  for (Isa isa : {Isa::kAmxInt8, Isa::kAvx512Vnni, Isa::kAvxVnni, Isa::kAvx2}) {
    if (!is_supported(isa)) continue;
    add(std::string("limit/dot/") + name(isa), "ops/s", [=] { return dot_product_peak(isa); });
  }
  for (int64_t bytes = kSmallest; bytes <= kLargest; bytes *= 2) {
    add("limit/copy/" + std::to_string(bytes), "bytes/s", [=] { return copy_bandwidth(bytes); });
  }
  return true;
}();

}  // namespace
}  // namespace qnative::limits
