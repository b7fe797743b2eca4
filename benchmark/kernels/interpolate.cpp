#include "interpolate/interpolate.h"

#include <string>
#include <vector>

#include "limits.h"

// Doubling a row: interpolate_row/<isa>/<pixels>x<channels>_<taps>, and making a row of outputs of
// several: interpolate_column/<isa>/<pixels>x<channels>_<rows>; in percent of the speed of copying
// the bytes read and written. The same for float16: interpolate_row_fp16, interpolate_column_fp16.
namespace qnative::interpolate {
namespace {

struct Shape {
  int64_t pixels, channels;
};

constexpr Shape kShapes[] = {{28, 256}, {112, 24}, {224, 3}};

std::string label(const char* op, Isa isa, const Shape& s, int taps) {
  return std::string(op) + "/" + name(isa) + "/" + std::to_string(s.pixels) + "x" +
         std::to_string(s.channels) + "_" + std::to_string(taps);
}

// T: uint8_t, or uint16_t for halves.
template <class T>
void run_row(benchmark::State& state, const Shape& s, int taps,
             void (*kernel)(const RowArgs&, const T*, float*, float*)) {
  const int64_t outputs = 2 * s.pixels;
  const std::vector<T> x(s.pixels * s.channels, sizeof(T) == 1 ? 100 : 0x3400);
  std::vector<float> wide(x.size() + kSlack), t(2 * x.size() + kSlack);
  std::vector<int32_t> index(outputs * taps);
  for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int32_t>(i / (2 * taps));
  const std::vector<float> weight(outputs * taps, 0.5f);
  const RowArgs args = {.pixels = s.pixels,
                        .outputs = outputs,
                        .channels = s.channels,
                        .zero_point = 128,
                        .flip = 0,
                        .taps = taps,
                        .index = index.data(),
                        .weight = weight.data()};
  const double seconds =
      limits::fastest(state, [&] { kernel(args, x.data(), wide.data(), t.data()); });
  limits::report_copy(state, seconds, static_cast<double>((sizeof(T) + 8) * x.size()));
}

template <class T>
void run_column(benchmark::State& state, const Shape& s, int rows,
                void (*kernel)(const ColumnArgs&, int64_t, T*)) {
  const int64_t n = s.pixels * s.channels;
  const std::vector<float> t(rows * (n + kSlack), 3);
  const float* from[4] = {};
  for (int i = 0; i < rows; ++i) from[i] = t.data() + i * (n + kSlack);
  constexpr float kWeights[4] = {0.25f, 0.25f, 0.25f, 0.25f};
  std::vector<T> y(n);
  const ColumnArgs args = {.rows = rows,
                           .planes = 1,
                           .t = from,
                           .row_weight = kWeights,
                           .plane_weight = kWeights,
                           .multiplier = 1,
                           .requantize = {.zero_point = 3, .lo = 0, .hi = 255, .flip = 0}};
  const double seconds = limits::fastest(state, [&] { kernel(args, n, y.data()); });
  limits::report_copy(state, seconds, static_cast<double>(n) * (4.0 * rows + sizeof(T)));
}

template <class Fn, class Run>
void add(const char* op, std::span<const Kernel<Fn>> kernels, const Run& run) {
  for (const auto& kernel : kernels) {
    if (!is_supported(kernel.isa)) continue;
    for (const Shape& s : kShapes) {
      for (int taps : {2, 4}) {
        benchmark::RegisterBenchmark(
            label(op, kernel.isa, s, taps).c_str(),
            [=, f = kernel.run](benchmark::State& state) { run(state, s, taps, f); });
      }
    }
  }
}

const bool kRegistered = [] {
  add("interpolate_row", row_kernels(), run_row<uint8_t>);
  add("interpolate_column", column_kernels(), run_column<uint8_t>);
  add("interpolate_row_fp16", row_fp16_kernels(), run_row<uint16_t>);
  add("interpolate_column_fp16", column_fp16_kernels(), run_column<uint16_t>);
  return true;
}();

}  // namespace
}  // namespace qnative::interpolate
