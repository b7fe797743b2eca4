#include <cmath>

#include "interpolate.h"

namespace qnative::interpolate {

void row_scalar(const RowArgs& args, const uint8_t* x, float* /*wide*/, float* t) {
  const auto value = [&](int64_t output, int tap, int64_t channel) {
    const int64_t pixel = args.index[output * args.taps + tap];
    return static_cast<float>((x[pixel * args.channels + channel] ^ args.flip) - args.zero_point);
  };
  for (int64_t o = 0; o < args.outputs; ++o) {
    const float* weight = args.weight + o * args.taps;
    for (int64_t c = 0; c < args.channels; ++c) {
      float sum = value(o, 0, c) * weight[0];
      for (int k = 1; k < args.taps; ++k) sum = std::fma(value(o, k, c), weight[k], sum);
      *t++ = sum;
    }
  }
}

void column_scalar(const ColumnArgs& args, int64_t n, uint8_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    float sum = 0;
    for (int p = 0; p < args.planes; ++p) {
      const float* const* t = args.t + p * args.rows;
      float plane = t[0][i] * args.row_weight[0];
      for (int j = 1; j < args.rows; ++j) plane = std::fma(t[j][i], args.row_weight[j], plane);
      const float weight = args.plane_weight[p];
      sum = p == 0 ? plane * weight : std::fma(plane, weight, sum);
    }
    y[i] = requantize(sum * args.multiplier, args.requantize);
  }
}

}  // namespace qnative::interpolate
