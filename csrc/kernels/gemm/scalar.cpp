#include <algorithm>
#include <cmath>

#include "gemm.h"
#include "layout.h"

namespace qnative::gemm {
namespace {

int32_t dot(const Args& args, const uint8_t* row, int64_t n) {
  const int64_t groups = ceil_div(args.segment_size, kGroup);
  const int8_t* column = args.weight +
                         n / kPanelColumns * panel_size(args.segments, args.segment_size) +
                         n % kPanelColumns * kGroup;
  uint32_t acc = static_cast<uint32_t>(args.start[n]);
  for (int64_t s = 0; s < args.segments; ++s) {
    const uint8_t* x = row + args.segment_offset[s];
    const int8_t* w = column + s * groups * kStepBytes;
    for (int64_t k = 0; k < args.segment_size; ++k) {
      acc += static_cast<uint32_t>(x[k] * w[k / kGroup * kStepBytes + k % kGroup]);
    }
  }
  return static_cast<int32_t>(acc);
}

}  // namespace

Fn scalar;
void scalar(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
            std::byte*) {
  for (int64_t i = m_begin; i < m_end; ++i) {
    const uint8_t* row = x_row(args, i);
    for (int64_t n = n_begin; n < std::min(n_end, args.n); ++n) {
      const float acc = static_cast<float>(dot(args, row, n));
      const float r = std::fma(acc, args.multiplier[n], args.bias[n]);
      const int64_t at = i * args.y_stride + n;
      if (args.float_output) {
        const float above = r < args.float_lo ? args.float_lo : r;
        static_cast<float*>(args.y)[at] = above > args.float_hi ? args.float_hi : above;
      } else {
        static_cast<uint8_t*>(args.y)[at] = requantize(r, args.requantize);
      }
    }
  }
}

}  // namespace qnative::gemm
