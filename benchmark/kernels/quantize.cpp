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

template <class F>
void add(const std::string& op, Isa isa, limits::Traffic traffic, F f) {
  limits::add<Buffers>(op, isa, kSizes, traffic, f);
}

const bool kRegistered = [] {
  for (const auto& kernel : quantize_kernels()) {
    add("quantize", kernel.isa, {4, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(b.real.data(), b.quantized.data(), n, 0.2f, {128, 0, 255, 0});
    });
  }
  for (const auto& kernel : dequantize_kernels()) {
    add("dequantize", kernel.isa, {1, 4}, [=](Buffers& b, int64_t n) {
      kernel.run(b.quantized.data(), b.real.data(), n, 0.2f, 128, 0);
    });
  }
  for (const auto& kernel : quantize_each_kernels()) {
    add("quantize_each", kernel.isa, {12, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(b.real.data(), b.quantized.data(), n, b.scale.data(), b.zero_point.data(), 0, 255,
                 0);
    });
  }
  for (const auto& kernel : dequantize_each_kernels()) {
    add("dequantize_each", kernel.isa, {9, 4}, [=](Buffers& b, int64_t n) {
      kernel.run(b.quantized.data(), b.real.data(), n, b.scale.data(), b.zero_point.data(), 0);
    });
  }
  for (const auto& kernel : summarize_kernels()) {
    add("summarize", kernel.isa, {4, 0}, [=](Buffers& b, int64_t n) {
      Summary summary = kernel.run(b.real.data(), n);
      benchmark::DoNotOptimize(summary);
    });
  }
  return true;
}();

}  // namespace
}  // namespace qnative::quantize
