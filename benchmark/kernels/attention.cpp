#include "attention/attention.h"

#include <algorithm>
#include <string>
#include <vector>

#include "limits.h"
#include "panels/panels.h"

// The work of attention besides its products, in percent of the speed of copying the bytes read and
// written, or of reading where little is written:
//
//   attention_probabilities/<isa>/<keys>          a row of scores, copied first
//   attention_measure_columns|quantize_columns|quantize_rows/<isa>/<rows>       of 64 floats
//   panels_keys|panels_values/<isa>/<rows>        of 64 bytes
//   attention_float_rows/<isa>/<keys>             one row of 64 floats
namespace qnative::attention {
namespace {

constexpr int64_t kSize = 64;  // of a head
constexpr int64_t kRows[] = {128, 2048};

struct Buffers {
  std::vector<float> x, k, y, factor, column, scratch;
  std::vector<int32_t> scores, original, sums;
  std::vector<uint8_t> high, low, bytes;
  std::vector<int8_t> packed;

  explicit Buffers(int64_t n)
      : x(n * kSize),
        k(n * kSize, 0.25f),
        y(n * kSize),
        factor(kSize, 0.5f),
        column(4 * kSize),
        scratch(n),
        scores(n),
        original(n),
        sums(n),
        high(n),
        low(n),
        bytes(n * kSize, 7),
        packed(n * kSize) {
    for (int64_t i = 0; i < n * kSize; ++i) x[i] = static_cast<float>(i % 997) * 0.01f - 4;
    for (int64_t i = 0; i < kSize; ++i) column[i + 2 * kSize] = column[i + 3 * kSize] = 20;
    for (int64_t i = 0; i < n; ++i) original[i] = static_cast<int32_t>(i * 7919 % 40000);
  }

  Columns columns() {
    float* const c = column.data();
    return {c, c + kSize, c + 2 * kSize, c + 3 * kSize};
  }
};

template <class F>
void add(const std::string& op, Isa isa, limits::Traffic traffic, F f) {
  limits::add<Buffers>(op, isa, kRows, traffic, f);
}

void add_rows() {
  for (const auto& kernel : probabilities_kernels()) {
    add("attention_probabilities", kernel.isa, {12, 6}, [=](Buffers& b, int64_t n) {
      std::copy(b.original.begin(), b.original.end(), b.scores.begin());
      benchmark::DoNotOptimize(
          kernel.run(b.scores.data(), 1e-4f, nullptr, n, n, b.high.data(), b.low.data()));
    });
  }
  for (const auto& kernel : measure_columns_kernels()) {
    add("attention_measure_columns", kernel.isa, {4 * kSize, 0},
        [=](Buffers& b, int64_t n) { kernel.run({b.x.data(), n, kSize, kSize}, b.columns()); });
  }
  for (const auto& kernel : quantize_columns_kernels()) {
    add("attention_quantize_columns", kernel.isa, {4 * kSize, kSize}, [=](Buffers& b, int64_t n) {
      kernel.run({b.x.data(), n, kSize, kSize}, b.columns(), b.bytes.data(), kSize);
    });
  }
  for (const auto& kernel : quantize_rows_kernels()) {
    add("attention_quantize_rows", kernel.isa, {4 * kSize, kSize}, [=](Buffers& b, int64_t n) {
      kernel.run({b.x.data(), n, kSize, kSize}, b.factor.data(),
                 {b.bytes.data(), kSize, b.y.data(), b.sums.data()});
    });
  }
  for (const auto& kernel : float_rows_kernels()) {
    add("attention_float_rows", kernel.isa, {8 * kSize, 0}, [=](Buffers& b, int64_t n) {
      kernel.run({.q = {b.x.data(), 1, kSize, kSize},
                  .mask = nullptr,
                  .keys = &n,
                  .k = {b.k.data(), n, kSize, kSize},
                  .v = {b.x.data(), n, kSize, kSize},
                  .scale = 0.125f,
                  .y = b.y.data(),
                  .y_stride = kSize},
                 b.scratch.data());
    });
  }
}

void add_panels() {
  for (const auto& kernel : panels::kernels()) {
    add("panels_keys", kernel.isa, {kSize, kSize}, [=](Buffers& b, int64_t n) {
      kernel.run({b.bytes.data(), kSize, n, 1, kSize, 0x80}, 0, n / 16, b.packed.data(),
                 b.sums.data());
    });
    add("panels_values", kernel.isa, {kSize, kSize}, [=](Buffers& b, int64_t n) {
      kernel.run({b.bytes.data(), n, kSize, kSize, 1, 0x80}, 0, kSize / 16, b.packed.data(),
                 b.sums.data());
    });
  }
}

const bool kRegistered = [] {
  add_rows();
  add_panels();
  return true;
}();

}  // namespace
}  // namespace qnative::attention
