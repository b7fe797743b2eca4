#include "quantize/quantize.h"

#include <string>
#include <vector>

#include "limits.h"

// quantize|dequantize[_each]/<isa>/<elements> in percent of the speed of copying as many bytes,
// summarize in percent of the speed of reading them.
namespace qnative::quantize {
namespace {

constexpr int64_t kSizes[] = {16384, 256 * 56 * 56};

struct Buffers {
  std::vector<float> real, scale;
  std::vector<uint8_t> quantized;
  std::vector<int32_t> zero_point;

  explicit Buffers(int64_t n) : real(n), scale(n, 0.5f), quantized(n, 9), zero_point(n, 128) {
    for (int64_t i = 0; i < n; ++i) real[i] = static_cast<float>(i % 997) - 400;
  }
};

// f(buffers, n), which moves `bytes` bytes an element.
template <class F>
void add(const std::string& op, Isa isa, double bytes, bool is_read, F f) {
  if (!is_supported(isa)) return;
  for (int64_t n : kSizes) {
    const std::string label = op + "/" + name(isa) + "/" + std::to_string(n);
    benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
      Buffers buffers(n);
      const double seconds = limits::fastest(state, [&] { f(buffers, n); });
      const double moved = bytes * static_cast<double>(n);
      is_read ? limits::report_read(state, seconds, moved)
              : limits::report_copy(state, seconds, moved);
    });
  }
}

const bool kRegistered = [] {
  for (const auto& kernel : quantize_kernels()) {
    add("quantize", kernel.isa, 5, false, [=](Buffers& b, int64_t n) {
      kernel.run(b.real.data(), b.quantized.data(), n, 0.2f, {128, 0, 255, 0});
    });
  }
  for (const auto& kernel : dequantize_kernels()) {
    add("dequantize", kernel.isa, 5, false, [=](Buffers& b, int64_t n) {
      kernel.run(b.quantized.data(), b.real.data(), n, 0.2f, 128, 0);
    });
  }
  for (const auto& kernel : quantize_each_kernels()) {
    add("quantize_each", kernel.isa, 13, false, [=](Buffers& b, int64_t n) {
      kernel.run(b.real.data(), b.quantized.data(), n, b.scale.data(), b.zero_point.data(), 0, 255,
                 0);
    });
  }
  for (const auto& kernel : dequantize_each_kernels()) {
    add("dequantize_each", kernel.isa, 13, false, [=](Buffers& b, int64_t n) {
      kernel.run(b.quantized.data(), b.real.data(), n, b.scale.data(), b.zero_point.data(), 0);
    });
  }
  for (const auto& kernel : summarize_kernels()) {
    add("summarize", kernel.isa, 4, true, [=](Buffers& b, int64_t n) {
      Summary summary = kernel.run(b.real.data(), n);
      benchmark::DoNotOptimize(summary);
    });
  }
  return true;
}();

}  // namespace
}  // namespace qnative::quantize
