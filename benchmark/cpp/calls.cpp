#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "qnative/ops.h"

// calls/<implementation>/<op>: overhead of a call on small tensors. The
// shapes are those of benchmark/calls.py, which runs this program.
namespace qnative {
namespace {

constexpr double kScale = 0.1;
constexpr int64_t kZeroPoint = 5, kSize = 16;
constexpr QParams kQParams{kScale, kZeroPoint};

template <class F>
void run(benchmark::State& state, const F& call) {
  const c10::InferenceMode guard;
  for (auto _ : state) benchmark::DoNotOptimize(call());
}

at::Tensor bytes(at::IntArrayRef sizes) { return at::randint(0, 128, sizes, at::kByte); }
at::Tensor weights(at::IntArrayRef sizes) { return at::randint(-64, 64, sizes, at::kChar); }

void add(benchmark::State& state) {
  const QTensor a{bytes({1, kSize}), kQParams}, b{bytes({1, kSize}), kQParams};
  run(state, [&] { return ops::add(a, b, {.qparams = kQParams}); });
}

void linear(benchmark::State& state) {
  const QTensor x{bytes({1, kSize}), kQParams};
  const PackedWeight w{ops::linear_pack(weights({kSize, kSize})),
                       at::full({kSize}, kScale),
                       at::ones(kSize),
                       {kSize, kSize}};
  run(state,
      [&] { return ops::linear(x, w, {.qparams = kQParams, .activation = Activation::relu()}); });
}

void conv2d(benchmark::State& state) {
  const QTensor x{bytes({1, kSize, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast), kQParams};
  const PackedWeight w{ops::conv2d_pack(weights({kSize, kSize, 1, 1}), 1),
                       at::full({kSize}, kScale),
                       at::ones(kSize),
                       {kSize, kSize, 1, 1}};
  const ConvGeometry geometry;
  run(state, [&] {
    return ops::conv2d(x, w, geometry, {.qparams = kQParams, .activation = Activation::relu()});
  });
}

void float_add(benchmark::State& state) {
  const at::Tensor a = at::randn({1, kSize}), b = at::randn({1, kSize});
  run(state, [&] { return at::add(a, b); });
}

void float_linear(benchmark::State& state) {
  const at::Tensor x = at::randn({1, kSize}), weight = at::randn({kSize, kSize});
  const at::Tensor bias = at::ones(kSize);
  run(state, [&] { return at::linear(x, weight, bias); });
}

void float_conv2d(benchmark::State& state) {
  const auto format = at::MemoryFormat::ChannelsLast;
  const at::Tensor x = at::randn({1, kSize, 2, 2}).contiguous(format), bias = at::ones(kSize);
  const at::Tensor weight = at::randn({kSize, kSize, 1, 1}).contiguous(format);
  run(state, [&] { return at::conv2d(x, weight, bias); });
}

BENCHMARK(add)->Name("calls/qnative/add");
BENCHMARK(linear)->Name("calls/qnative/linear");
BENCHMARK(conv2d)->Name("calls/qnative/conv2d");
BENCHMARK(float_add)->Name("calls/fp32/add");
BENCHMARK(float_linear)->Name("calls/fp32/linear");
BENCHMARK(float_conv2d)->Name("calls/fp32/conv2d");

}  // namespace
}  // namespace qnative

int main(int argc, char** argv) {
  at::set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
