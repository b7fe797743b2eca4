#include <algorithm>
#include <cmath>

#include "gemm.h"
#include "layout.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"

namespace qnative::gemm {
namespace {

int32_t accumulate(const Args& args, int64_t i, int64_t n) {
  const uint8_t* row = x_row(args, i);
  const int64_t groups = ceil_div(args.segment_size, kGroup);
  const int8_t* column =
      args.weight + n / kPanelColumns * panel_stride(args) + n % kPanelColumns * kGroup;
  uint32_t acc = static_cast<uint32_t>(args.start[n]);
  if (args.row_factor != nullptr) {
    acc += static_cast<uint32_t>(args.row_factor[i]) * static_cast<uint32_t>(args.column_factor[n]);
  }
  for (int64_t s = 0; s < args.segments; ++s) {
    const uint8_t* x = row + args.segment_offset[s];
    const int8_t* w = column + s * groups * kStepBytes;
    for (int64_t k = 0; k < args.segment_size; ++k) {
      acc += static_cast<uint32_t>(x[k] * w[k / kGroup * kStepBytes + k % kGroup]);
    }
  }
  for (int64_t o = 0; args.outlier_count != nullptr && o < args.outlier_count[i]; ++o) {
    const auto [k, excess] = outliers_of(args, i)[o];
    acc += static_cast<uint32_t>(excess) *
           static_cast<uint32_t>(column[k / kGroup * kStepBytes + k % kGroup]);
  }
  return static_cast<int32_t>(acc);
}

}  // namespace

Fn scalar;
void scalar(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
            std::byte*) {
  for (int64_t i = m_begin; i < m_end; ++i) {
    for (int64_t n = n_begin; n < std::min(n_end, args.n); ++n) {
      const int32_t sum = accumulate(args, i, n);
      const auto acc = static_cast<float>(sum);
      const int64_t at = i * args.y_stride + n;
      if (args.sum_output) {
        static_cast<int32_t*>(args.y)[at] = sum;
        continue;
      }
      float multiplier = args.multiplier[n];
      if (args.float_output) {
        if (args.row_multiplier != nullptr) multiplier *= args.row_multiplier[i];
        const float r =
            activate<RealScalar>(args.activation, std::fma(acc, multiplier, args.bias[n]));
        const float above = r < args.float_lo ? args.float_lo : r;
        static_cast<float*>(args.y)[at] = above > args.float_hi ? args.float_hi : above;
      } else {
        static_cast<uint8_t*>(args.y)[at] =
            requantize(std::fma(acc, multiplier, args.bias[n]), args.requantize);
      }
    }
  }
}

}  // namespace qnative::gemm
