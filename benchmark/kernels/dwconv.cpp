#include "dwconv/dwconv.h"

#include <string>
#include <vector>

#include "blocks.h"
#include "gemm/gemm.h"
#include "limits.h"

// dwconv/<isa>/<image>x<channels>_k<kernel>_s<stride>: in percent of the speed of copying the
// image's and the output's bytes.
namespace qnative::dwconv {
namespace {

struct Layer {
  int64_t image, channels, kernel, stride;
};

// Layers of MobileNetV2 and EfficientNet, and a generic kernel.
constexpr Layer kLayers[] = {{112, 32, 3, 1}, {56, 144, 3, 1}, {14, 480, 3, 1}, {7, 1152, 3, 1},
                             {112, 96, 3, 2}, {56, 144, 3, 2}, {28, 240, 3, 2}, {14, 576, 3, 2},
                             {28, 240, 5, 1}, {14, 672, 5, 1}, {7, 1152, 5, 1}, {56, 144, 5, 2},
                             {14, 672, 5, 2}, {14, 384, 7, 1}};

void run(benchmark::State& state, const Layer& layer, Fn* kernel) {
  const int64_t c = layer.channels, taps = layer.kernel * layer.kernel;
  const int64_t out = (layer.image - 1) / layer.stride + 1, padded = round_up(c, kPanelColumns);
  const std::vector<uint8_t> x(layer.image * layer.image * c, 100);
  std::vector<uint8_t> y(out * out * c);
  const std::vector<int8_t> weight(c * taps, 3);
  std::vector<int8_t> packed(gemm::packed_size(c, layer.kernel, layer.kernel));
  gemm::pack(weight.data(), c, layer.kernel, layer.kernel, packed.data());
  const std::vector<int32_t> start(padded, 10);
  const std::vector<float> multiplier(padded, 1e-3f), bias(padded, 0.5f);
  const Args args = {.x = x.data(),
                     .depth = 1,
                     .height = layer.image,
                     .width = layer.image,
                     .channels = c,
                     .pad_value = 64,
                     .x_flip = 0,
                     .kernel_d = 1,
                     .kernel_h = layer.kernel,
                     .kernel_w = layer.kernel,
                     .stride_h = layer.stride,
                     .stride_w = layer.stride,
                     .dilation_d = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .first_slice = 0,
                     .pad_top = layer.kernel / 2,
                     .pad_left = layer.kernel / 2,
                     .out_h = out,
                     .out_w = out,
                     .weight = packed.data(),
                     .start = start.data(),
                     .multiplier = multiplier.data(),
                     .bias = bias.data(),
                     .y = y.data(),
                     .y_row = out * c,
                     .y_pixel = c,
                     .float_output = false,
                     .requantize = {.zero_point = 32, .lo = 0, .hi = 255, .flip = 0},
                     .float_lo = 0,
                     .float_hi = 0};
  std::vector<std::byte> memory(scratch_size(args) + 64);
  std::byte* scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  const double seconds = limits::fastest(state, [&] { kernel(args, 0, out, scratch); });
  limits::report_copy(state, seconds, static_cast<double>(x.size() + y.size()),
                      2.0 * static_cast<double>(taps) * static_cast<double>(y.size()));
}

const bool kRegistered = [] {
  for (const Kernel<Fn>& kernel : kernels()) {
    if (!is_supported(kernel.isa)) continue;
    for (const Layer& layer : kLayers) {
      const std::string label = std::string("dwconv/") + name(kernel.isa) + "/" +
                                std::to_string(layer.image) + "x" + std::to_string(layer.channels) +
                                "_k" + std::to_string(layer.kernel) + "_s" +
                                std::to_string(layer.stride);
      benchmark::RegisterBenchmark(label.c_str(),
                                   [=](benchmark::State& state) { run(state, layer, kernel.run); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace qnative::dwconv
