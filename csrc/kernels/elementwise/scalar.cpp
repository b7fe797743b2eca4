#include <cmath>

#include "elementwise.h"

namespace qnative::elementwise {

void add_scalar(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float ai = static_cast<float>((a[i] ^ args.a_flip) - args.a_zero_point);
    const float bi = static_cast<float>((b[i] ^ args.b_flip) - args.b_zero_point);
    y[i] = requantize(std::fma(ai, args.a_multiplier, bi * args.b_multiplier), args.requantize);
  }
}

void mul_scalar(const Args& args, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const int32_t ai = (a[i] ^ args.a_flip) - args.a_zero_point;
    const int32_t bi = (b[i] ^ args.b_flip) - args.b_zero_point;
    y[i] = requantize(static_cast<float>(ai * bi) * args.a_multiplier, args.requantize);
  }
}

}  // namespace qnative::elementwise
