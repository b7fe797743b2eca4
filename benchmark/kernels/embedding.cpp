#include "embedding/embedding.h"

#include <string>
#include <vector>

#include "limits.h"

// rows|bags_<mode>/<bits>bit/<isa>/<dim>: in percent of the speed of copying the rows read and the
// outputs written.
namespace qnative::embedding {
namespace {

constexpr int64_t kDims[] = {64, 384, 1024};
constexpr int64_t kTableRows = 1000, kIndices = 256, kBag = 32;

struct Problem {
  std::vector<uint8_t> data;
  std::vector<int64_t> indices, offsets;
  std::vector<float> y;
  Table table;

  Problem(int bits, int64_t dim)
      : data(kTableRows * row_bytes(bits, dim), 1),
        indices(kIndices),
        y(kIndices * dim),
        table{data.data(), dim} {
    for (int64_t i = 0; i < kIndices; ++i) indices[i] = i * 389 % kTableRows;
    for (int64_t i = 0; i <= kIndices; i += kBag) offsets.push_back(i);
  }
};

// f(problem), which writes `outputs` rows.
template <class F>
void add(const std::string& op, int bits, Isa isa, int64_t outputs, F f) {
  if (!is_supported(isa)) return;
  for (int64_t dim : kDims) {
    const std::string label =
        op + "/" + std::to_string(bits) + "bit/" + name(isa) + "/" + std::to_string(dim);
    benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
      Problem p(bits, dim);
      const double seconds = limits::fastest(state, [&] { f(p); });
      const int64_t bytes = kIndices * row_bytes(bits, dim) + outputs * dim * 4;
      limits::report_copy(state, seconds, static_cast<double>(bytes));
    });
  }
}

void add_all(int bits, std::span<const Kernel<RowsFn>> rows, std::span<const Kernel<BagsFn>> bags) {
  for (const auto& kernel : rows) {
    add("rows", bits, kernel.isa, kIndices,
        [=](Problem& p) { kernel.run(p.table, p.indices.data(), kIndices, p.y.data()); });
  }
  for (const auto& kernel : bags) {
    for (Mode mode : {Mode::kSum, Mode::kMax}) {
      add(mode == Mode::kSum ? "bags_sum" : "bags_max", bits, kernel.isa, kIndices / kBag,
          [=](Problem& p) {
            kernel.run(p.table,
                       {p.indices.data(), nullptr, p.offsets.data(), kIndices / kBag, mode},
                       p.y.data());
          });
    }
  }
}

const bool kRegistered = [] {
  add_all(8, rows_8bit_kernels(), bags_8bit_kernels());
  add_all(4, rows_4bit_kernels(), bags_4bit_kernels());
  return true;
}();

}  // namespace
}  // namespace qnative::embedding
