#include "interpolate/interpolate.h"

#include <string>
#include <vector>

#include "limits.h"

// Doubling a row: interpolate_row/<isa>/<pixels>x<channels>_<taps>, and making a row of outputs of
// several: interpolate_column/<isa>/<pixels>x<channels>_<rows>; in percent of the speed of copying
// what is read and written.
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

void run_row(benchmark::State& state, const Shape& s, int taps, RowFn* kernel) {
  const int64_t outputs = 2 * s.pixels;
  const std::vector<uint8_t> x(s.pixels * s.channels, 100);
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
  limits::report_copy(state, seconds, static_cast<double>(9 * x.size()));
}

void run_column(benchmark::State& state, const Shape& s, int rows, ColumnFn* kernel) {
  const int64_t n = s.pixels * s.channels;
  const std::vector<float> t(rows * (n + kSlack), 3);
  const float* from[4] = {};
  for (int i = 0; i < rows; ++i) from[i] = t.data() + i * (n + kSlack);
  constexpr float kWeights[4] = {0.25f, 0.25f, 0.25f, 0.25f};
  std::vector<uint8_t> y(n);
  const ColumnArgs args = {.rows = rows,
                           .planes = 1,
                           .t = from,
                           .row_weight = kWeights,
                           .plane_weight = kWeights,
                           .multiplier = 1,
                           .requantize = {.zero_point = 3, .lo = 0, .hi = 255, .flip = 0}};
  const double seconds = limits::fastest(state, [&] { kernel(args, n, y.data()); });
  limits::report_copy(state, seconds, static_cast<double>((4 * rows + 1) * n));
}

const bool kRegistered = [] {
  for (const Shape& s : kShapes) {
    for (int taps : {2, 4}) {
      for (const auto& kernel : row_kernels()) {
        if (!is_supported(kernel.isa)) continue;
        benchmark::RegisterBenchmark(
            label("interpolate_row", kernel.isa, s, taps).c_str(),
            [=](benchmark::State& state) { run_row(state, s, taps, kernel.run); });
      }
      for (const auto& kernel : column_kernels()) {
        if (!is_supported(kernel.isa)) continue;
        benchmark::RegisterBenchmark(
            label("interpolate_column", kernel.isa, s, taps).c_str(),
            [=](benchmark::State& state) { run_column(state, s, taps, kernel.run); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace qnative::interpolate
