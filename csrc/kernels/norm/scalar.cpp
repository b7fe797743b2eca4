#include <cmath>

#include "norm.h"
#include "words.h"

namespace qnative::norm {
namespace {

float number(const Args& args, const void* x, int64_t i) {
  return load_number(x, i, args.x_flip, args.x_zero_point, args.x_is_word);
}

template <class F>
void requantize_each(const Args& args, const void* x, void* y, int64_t n, const F& f) {
  for (int64_t i = 0; i < n; ++i) {
    store_requantized(y, i, f(number(args, x, i), i), args.requantize, args.y_is_word);
  }
}

float affine_of(float v, const Affine& affine, int64_t i) {
  return std::fma(std::fma(v, affine.scale, affine.shift), affine.weight[i], affine.bias[i]);
}

}  // namespace

void sum_scalar(const uint8_t* x, int64_t n, uint8_t flip, int64_t* sum, int64_t* squares) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = x[i] ^ flip;
    *sum += v;
    *squares += v * v;
  }
}

void sum_columns_scalar(const uint8_t* x, int64_t rows, int64_t stride, int64_t n, uint8_t flip,
                        int64_t* sum, int64_t* squares) {
  for (int64_t row = 0; row < rows; ++row, x += stride) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t v = x[i] ^ flip;
      sum[i] += v;
      squares[i] += v * v;
    }
  }
}

void sum_words_scalar(const int16_t* x, int64_t n, int64_t* sum, int64_t* squares) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = x[i];
    *sum += v;
    *squares += v * v;
  }
}

void scale_scalar(const Args& args, const void* x, void* y, int64_t n, float scale, float shift) {
  requantize_each(args, x, y, n, [&](float v, int64_t) { return std::fma(v, scale, shift); });
}

void scale_each_scalar(const Args& args, const uint8_t* x, uint8_t* y, int64_t n,
                       const float* scale, const float* shift) {
  requantize_each(args, x, y, n,
                  [&](float v, int64_t i) { return std::fma(v, scale[i], shift[i]); });
}

void affine_scalar(const Args& args, const void* x, void* y, int64_t n, const Affine& affine) {
  requantize_each(args, x, y, n, [&](float v, int64_t i) { return affine_of(v, affine, i); });
}

void affine_float_scalar(const Args& args, const void* x, float* y, int64_t n,
                         const Affine& affine) {
  for (int64_t i = 0; i < n; ++i) y[i] = affine_of(number(args, x, i), affine, i);
}

void prelu_scalar(const Args& args, const uint8_t* x, uint8_t* y, int64_t n, float positive,
                  const float* negative) {
  requantize_each(args, x, y, n,
                  [&](float v, int64_t i) { return v * (v < 0 ? negative[i] : positive); });
}

uint8_t largest_scalar(const uint8_t* x, int64_t n, uint8_t flip) {
  uint8_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint8_t v = x[i] ^ flip;
    most = v > most ? v : most;
  }
  return most;
}

int64_t sum_exponentials_scalar(const Exponentials& e, const uint8_t* x, int64_t n, uint8_t flip,
                                uint8_t largest) {
  // Four chains: the additions of one would wait for each other.
  const uint32_t* fixed = e.fixed + 255 - largest;
  int64_t sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int j = 0; j < 4; ++j) sums[j] += fixed[x[i + j] ^ flip];
  }
  for (; i < n; ++i) sums[0] += fixed[x[i] ^ flip];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

void exponentials_scalar(const Exponentials& e, const uint8_t* x, float* y, int64_t n, uint8_t flip,
                         uint8_t largest, float multiplier) {
  const float* value = e.value + 255 - largest;
  for (int64_t i = 0; i < n; ++i) y[i] = value[x[i] ^ flip] * multiplier;
}

}  // namespace qnative::norm
