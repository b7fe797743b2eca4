#include "norm/norm.h"

#include <string>
#include <vector>

#include "limits.h"

// Steps of normalizations on a row or an image of bytes: /<isa>/<bytes>, in percent of the speed of
// copying the bytes read and written, or of reading where only sums are written.
namespace qnative::norm {
namespace {

constexpr int64_t kSizes[] = {768, 128 * 768};
constexpr int64_t kRows = 32;  // of sum_columns
constexpr Args kArgs = {.x_zero_point = 128,
                        .x_flip = 0,
                        .requantize = {.zero_point = 3, .lo = 0, .hi = 255, .flip = 0}};

// int16 to bytes.
constexpr Args kWordArgs = {.x_zero_point = 0,
                            .x_flip = 0,
                            .requantize = {.zero_point = 3, .lo = 0, .hi = 255, .flip = 0},
                            .x_is_word = true};

struct Buffers {
  std::vector<uint8_t> x, y;
  std::vector<int16_t> words;
  std::vector<float> scale, shift, real;
  std::vector<int64_t> sum, squares;

  explicit Buffers(int64_t n)
      : x(n), y(n), words(n, 1234), scale(n, 0.5f), shift(n, 1), real(n), sum(n), squares(n) {
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<uint8_t>(i * 37);
  }
};

template <class F>
void add(const std::string& op, Isa isa, limits::Traffic traffic, F f) {
  limits::add<Buffers>(op, isa, kSizes, traffic, f);
}

void add_sums() {
  for (const auto& kernel : sum_kernels()) {
    add("norm_sum", kernel.isa, {1, 0}, [=](Buffers& b, int64_t n) {
      b.sum[0] = b.squares[0] = 0;
      kernel.run(b.x.data(), n, 0, b.sum.data(), b.squares.data());
    });
  }
  for (const auto& kernel : sum_words_kernels()) {
    add("norm_sum_words", kernel.isa, {2, 0}, [=](Buffers& b, int64_t n) {
      b.sum[0] = b.squares[0] = 0;
      kernel.run(b.words.data(), n, b.sum.data(), b.squares.data());
    });
  }
  for (const auto& kernel : sum_columns_kernels()) {
    add("norm_sum_columns", kernel.isa, {1, 0}, [=](Buffers& b, int64_t n) {
      kernel.run(b.x.data(), kRows, n / kRows, n / kRows, 0, b.sum.data(), b.squares.data());
    });
  }
}

void add_functions() {
  for (const auto& kernel : scale_kernels()) {
    add("norm_scale_words", kernel.isa, {2, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(kWordArgs, b.words.data(), b.y.data(), n, 0.7f, 0.1f);
    });
  }
  for (const auto& kernel : affine_kernels()) {
    add("norm_affine_words", kernel.isa, {10, 1}, [=](Buffers& b, int64_t n) {
      const Affine affine{0.02f, -0.7f, b.scale.data(), b.shift.data()};
      kernel.run(kWordArgs, b.words.data(), b.y.data(), n, affine);
    });
  }
  for (const auto& kernel : scale_kernels()) {
    add("norm_scale", kernel.isa, {1, 1},
        [=](Buffers& b, int64_t n) { kernel.run(kArgs, b.x.data(), b.y.data(), n, 0.7f, 0.1f); });
  }
  for (const auto& kernel : scale_each_kernels()) {
    add("norm_scale_each", kernel.isa, {9, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(kArgs, b.x.data(), b.y.data(), n, b.scale.data(), b.shift.data());
    });
  }
  for (const auto& kernel : affine_kernels()) {
    add("norm_affine", kernel.isa, {9, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(kArgs, b.x.data(), b.y.data(), n, {0.7f, 0.1f, b.scale.data(), b.shift.data()});
    });
  }
  for (const auto& kernel : affine_float_kernels()) {
    add("norm_affine_float", kernel.isa, {9, 4}, [=](Buffers& b, int64_t n) {
      kernel.run(kArgs, b.x.data(), b.real.data(), n, {0.7f, 0.1f, b.scale.data(), b.shift.data()});
    });
  }
  for (const auto& kernel : prelu_kernels()) {
    add("prelu", kernel.isa, {5, 1}, [=](Buffers& b, int64_t n) {
      kernel.run(kArgs, b.x.data(), b.y.data(), n, 0.7f, b.scale.data());
    });
  }
}

void add_softmax() {
  static const Exponentials exponentials = [] {
    Exponentials e;
    make_exponentials(0.05, e);
    return e;
  }();
  for (const auto& kernel : largest_kernels()) {
    add("softmax_largest", kernel.isa, {1, 0},
        [=](Buffers& b, int64_t n) { benchmark::DoNotOptimize(kernel.run(b.x.data(), n, 0)); });
  }
  for (const auto& kernel : sum_exponentials_kernels()) {
    add("softmax_sum", kernel.isa, {1, 0}, [=](Buffers& b, int64_t n) {
      benchmark::DoNotOptimize(kernel.run(exponentials, b.x.data(), n, 0, 255));
    });
  }
  for (const auto& kernel : exponentials_kernels()) {
    add("softmax_exponentials", kernel.isa, {1, 4}, [=](Buffers& b, int64_t n) {
      kernel.run(exponentials, b.x.data(), b.real.data(), n, 0, 255, 0.01f);
    });
  }
}

const bool kRegistered = [] {
  add_sums();
  add_functions();
  add_softmax();
  return true;
}();

}  // namespace
}  // namespace qnative::norm
