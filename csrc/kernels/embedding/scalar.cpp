#include <cmath>
#include <cstring>
#include <limits>

#include "embedding.h"

namespace qnative::embedding {
namespace {

template <int kBits>
float value(const Table& table, int64_t row, int64_t d) {
  const uint8_t* data = table.data + row * row_bytes(kBits, table.dim);
  const int q = kBits == 8 ? data[d] : data[d / 2] >> (d % 2 * 4) & 15;
  float params[2];
  std::memcpy(params, data + row_bytes(kBits, table.dim) - kParamBytes, kParamBytes);
  return std::fma(static_cast<float>(q), params[0], params[1]);
}

template <int kBits>
void rows(const Table& table, const int64_t* indices, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t d = 0; d < table.dim; ++d) *y++ = value<kBits>(table, indices[i], d);
  }
}

template <int kBits>
void reduce(const Table& table, const Bags& bags, float* y) {
  for (int64_t b = 0; b < bags.count; ++b) {
    const int64_t begin = bags.offsets[b], end = bags.offsets[b + 1];
    for (int64_t d = 0; d < table.dim; ++d) {
      float a = bags.mode == Mode::kMax ? -std::numeric_limits<float>::infinity() : 0;
      for (int64_t i = begin; i < end; ++i) {
        const float v = value<kBits>(table, bags.indices[i], d);
        if (bags.mode == Mode::kMax) {
          a = v > a ? v : a;
        } else {
          a = bags.weights ? std::fma(v, bags.weights[i], a) : a + v;
        }
      }
      if (bags.mode == Mode::kMean) a /= static_cast<float>(end - begin);
      *y++ = begin == end ? 0 : a;
    }
  }
}

}  // namespace

void rows_8bit_scalar(const Table& table, const int64_t* indices, int64_t n, float* y) {
  rows<8>(table, indices, n, y);
}

void rows_4bit_scalar(const Table& table, const int64_t* indices, int64_t n, float* y) {
  rows<4>(table, indices, n, y);
}

void bags_8bit_scalar(const Table& table, const Bags& bags, float* y) { reduce<8>(table, bags, y); }

void bags_4bit_scalar(const Table& table, const Bags& bags, float* y) { reduce<4>(table, bags, y); }

}  // namespace qnative::embedding
