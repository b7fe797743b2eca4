#include <cmath>

#include "interpolate.h"
#include "simd/real_scalar.h"

namespace qnative::interpolate {
namespace {

// value(i): element i of the row as a float.
template <class Value>
void sum_taps(const RowArgs& args, float* t, const Value& value) {
  for (int64_t o = 0; o < args.outputs; ++o) {
    const int32_t* index = args.index + o * args.taps;
    const float* weight = args.weight + o * args.taps;
    for (int64_t c = 0; c < args.channels; ++c) {
      const auto tap = [&](int k) { return value(int64_t{index[k]} * args.channels + c); };
      float sum = tap(0) * weight[0];
      for (int k = 1; k < args.taps; ++k) sum = std::fma(tap(k), weight[k], sum);
      *t++ = sum;
    }
  }
}

float sum_rows(const ColumnArgs& args, int64_t i) {
  float sum = 0;
  for (int p = 0; p < args.planes; ++p) {
    const float* const* t = args.t + p * args.rows;
    float plane = t[0][i] * args.row_weight[0];
    for (int j = 1; j < args.rows; ++j) plane = std::fma(t[j][i], args.row_weight[j], plane);
    const float weight = args.plane_weight[p];
    sum = p == 0 ? plane * weight : std::fma(plane, weight, sum);
  }
  return sum;
}

}  // namespace

void row_scalar(const RowArgs& args, const uint8_t* x, float* /*wide*/, float* t) {
  sum_taps(args, t,
           [&](int64_t i) { return static_cast<float>((x[i] ^ args.flip) - args.zero_point); });
}

void row_fp16_scalar(const RowArgs& args, const uint16_t* x, float* /*wide*/, float* t) {
  sum_taps(args, t, [&](int64_t i) { return half_to_float(x[i]); });
}

void column_scalar(const ColumnArgs& args, int64_t n, uint8_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = requantize(sum_rows(args, i) * args.multiplier, args.requantize);
  }
}

void column_fp16_scalar(const ColumnArgs& args, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; ++i) RealScalar::store_half(y + i, sum_rows(args, i));
}

}  // namespace qnative::interpolate
