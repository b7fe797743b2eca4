#include "fp16/fp16.h"

#include <string>
#include <vector>

#include "limits.h"

// Functions of halves: fp16_<function>/<isa>/<elements>, in percent of the speed of copying the
// bytes read and written. Pools: 3x3 windows of 64 channels that do not overlap, read once.
namespace qnative::fp16 {
namespace {

constexpr int64_t kSizes[] = {9 * 64 * 64, 256 * 56 * 56 / 9 * 9};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Buffers {
  std::vector<uint16_t> a, b, y;
  std::vector<float> scratch;

  // 0x3400 to 0x37ff are 0.25 to 0.5.
  explicit Buffers(int64_t n) : a(n), b(n, 0x3c00), y(n), scratch(n + kLanes) {
    for (int64_t i = 0; i < n; ++i) a[i] = static_cast<uint16_t>(0x3400 + i * 37 % 1024);
  }
};

// f(buffers, n), which reads and writes `halves` halves for each of the n.
template <class F>
void add(const std::string& op, Isa isa, double halves, F f) {
  if (!is_supported(isa)) return;
  for (int64_t n : kSizes) {
    const std::string label = "fp16_" + op + "/" + name(isa) + "/" + std::to_string(n);
    benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
      Buffers buffers(n);
      const double seconds = limits::fastest(state, [&] { f(buffers, n); });
      limits::report_copy(state, seconds, 2 * halves * static_cast<double>(n));
    });
  }
}

void add_binary(const std::string& op, std::span<const Kernel<BinaryFn>> kernels) {
  for (const auto& kernel : kernels) {
    add(op, kernel.isa, 3, [run = kernel.run](Buffers& b, int64_t n) {
      run({1, 0, kInfinity}, b.a.data(), b.b.data(), b.y.data(), n);
    });
  }
}

void add_unary(const std::string& op, Function function, FloatActivation activation) {
  for (const auto& kernel : unary_kernels()) {
    const UnaryArgs args{function, activation, 0.3f, 0, -kInfinity, kInfinity};
    add(op, kernel.isa, 2,
        [run = kernel.run, args](Buffers& b, int64_t n) { run(args, b.a.data(), b.y.data(), n); });
  }
}

pool::Window window_of(const Buffers& buffers, int64_t n) {
  return {.x = reinterpret_cast<const uint8_t*>(buffers.a.data()),
          .row_stride = 3 * 128,
          .pixel_stride = 128,
          .rows = 3,
          .columns = 3,
          .channels = 64,
          .outputs = n / (9 * 64),
          .output_stride = 9 * 128};
}

const bool kRegistered = [] {
  add_binary("add", add_kernels());
  add_binary("mul", mul_kernels());
  add_unary("affine", Function::kAffine, FloatActivation::kNone);
  add_unary("floor_divide", Function::kFloorDivide, FloatActivation::kNone);
  add_unary("sigmoid", Function::kActivation, FloatActivation::kSigmoid);
  add_unary("tanh", Function::kActivation, FloatActivation::kTanh);
  for (const auto& kernel : softmax_kernels()) {
    add("softmax", kernel.isa, 2, [run = kernel.run](Buffers& b, int64_t n) {
      run(b.a.data(), b.y.data(), n, b.scratch.data());
    });
  }
  for (const auto& kernel : max_kernels()) {
    add("max", kernel.isa, 10.0 / 9,
        [run = kernel.run](Buffers& b, int64_t n) { run(window_of(b, n), b.y.data()); });
  }
  for (const auto& kernel : mean_kernels()) {
    add("mean", kernel.isa, 10.0 / 9,
        [run = kernel.run](Buffers& b, int64_t n) { run(window_of(b, n), 9, b.y.data()); });
  }
  return true;
}();

}  // namespace
}  // namespace qnative::fp16
