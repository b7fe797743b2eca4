#include "pool/pool.h"

#include <string>
#include <vector>

#include "limits.h"

// max|mean/<isa>/<model>_<image>x<channels>_k<kernel>_s<stride>: in percent of the speed of copying
// the image's and the output's bytes; padding is left out. A kernel as large as the image is global
// average pooling, in percent of the speed of reading.
namespace qnative::pool {
namespace {

struct Layer {
  const char* model;
  int64_t image, channels, kernel, stride;
};

constexpr Layer kLayers[] = {
    {"resnet", 112, 64, 3, 2},       {"googlenet", 14, 512, 3, 1}, {"inception", 35, 192, 3, 1},
    {"small", 112, 16, 3, 2},        {"densenet", 56, 128, 2, 2},  {"segmentation", 56, 24, 2, 2},
    {"efficientnet", 7, 1280, 7, 1}, {"resnet", 7, 2048, 7, 1},
};

// f(window, y) for every row of outputs.
template <class F>
void run(benchmark::State& state, const Layer& layer, F f) {
  const int64_t row = layer.image * layer.channels;
  const int64_t out = (layer.image - layer.kernel) / layer.stride + 1;
  const std::vector<uint8_t> x(layer.image * row, 100);
  std::vector<uint8_t> y(out * out * layer.channels);
  const double seconds = limits::fastest(state, [&] {
    for (int64_t i = 0; i < out; ++i) {
      f(Window{.x = x.data() + i * layer.stride * row,
               .row_stride = row,
               .pixel_stride = layer.channels,
               .rows = layer.kernel,
               .columns = layer.kernel,
               .channels = layer.channels,
               .outputs = out,
               .output_stride = layer.stride * layer.channels},
        y.data() + i * out * layer.channels);
    }
  });
  const auto bytes = static_cast<double>(x.size() + y.size());
  out == 1 ? limits::report_read(state, seconds, bytes)
           : limits::report_copy(state, seconds, bytes);
}

template <class F>
void add(const char* op, Isa isa, F f) {
  if (!is_supported(isa)) return;
  for (const Layer& layer : kLayers) {
    const std::string label = std::string(op) + "/" + name(isa) + "/" + layer.model + "_" +
                              std::to_string(layer.image) + "x" + std::to_string(layer.channels) +
                              "_k" + std::to_string(layer.kernel) + "_s" +
                              std::to_string(layer.stride);
    benchmark::RegisterBenchmark(label.c_str(),
                                 [=](benchmark::State& state) { run(state, layer, f); });
  }
}

const bool kRegistered = [] {
  for (const auto& kernel : max_kernels()) {
    add("max", kernel.isa, [=](const Window& window, uint8_t* y) { kernel.run(window, 0, y); });
  }
  for (const auto& kernel : mean_kernels()) {
    add("mean", kernel.isa, [=](const Window& window, uint8_t* y) {
      const auto pixels = static_cast<float>(window.rows * window.columns);
      kernel.run(window, 0, 3, 1 / pixels, {.zero_point = 3, .lo = 0, .hi = 255, .flip = 0}, y);
    });
  }
  return true;
}();

}  // namespace
}  // namespace qnative::pool
