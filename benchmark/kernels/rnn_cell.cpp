#include "rnn_cell/rnn_cell.h"

#include <string>
#include <vector>

#include "limits.h"

// <cell>/<isa>/<rows>x<hidden>: in percent of the speed of copying the bytes read and written.
namespace qnative::rnn_cell {
namespace {

struct Shape {
  int64_t rows, hidden;
};

constexpr Shape kShapes[] = {{1, 512}, {8, 512}, {32, 250}};

// gates: of ih and of hh; states: floats read and written for one of h.
void add(const std::string& cell, std::span<const Kernel<Fn>> kernels, int64_t gates,
         int64_t states) {
  for (const auto& kernel : kernels) {
    if (!is_supported(kernel.isa)) continue;
    for (const Shape& s : kShapes) {
      const std::string label = cell + "/" + name(kernel.isa) + "/" + std::to_string(s.rows) + "x" +
                                std::to_string(s.hidden);
      benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
        const int64_t size = s.rows * s.hidden;
        const std::vector<float> ih(gates * size, 0.3f), hh(gates * size, -0.1f);
        std::vector<float> c(size, 0.5f), h(size, 0.2f);
        const Args args = {.ih = ih.data(),
                           .hh = hh.data(),
                           .c = c.data(),
                           .h = h.data(),
                           .y = h.data(),
                           .ih_stride = gates * s.hidden,
                           .hh_stride = gates * s.hidden,
                           .c_stride = s.hidden,
                           .h_stride = s.hidden,
                           .y_stride = s.hidden,
                           .gate_stride = s.hidden,
                           .hidden = s.hidden};
        const double seconds = limits::fastest(state, [&] { kernel.run(args, 0, s.rows); });
        limits::report_copy(state, seconds, static_cast<double>((2 * gates + states) * size * 4));
      });
    }
  }
}

const bool kRegistered = [] {
  add("lstm", lstm_kernels(), 4, 3);
  add("gru", gru_kernels(), 3, 2);
  add("rnn_tanh", rnn_tanh_kernels(), 1, 1);
  add("rnn_relu", rnn_relu_kernels(), 1, 1);
  return true;
}();

}  // namespace
}  // namespace qnative::rnn_cell
