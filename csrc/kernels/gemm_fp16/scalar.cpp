#include <algorithm>
#include <cmath>

#include "blocks.h"
#include "gemm_fp16.h"
#include "half.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"

namespace qnative::gemm_fp16 {

void scalar(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  for (int64_t i = m_begin; i < m_end; ++i) {
    const float* x = args.x + i * args.x_stride;
    for (int64_t n = n_begin; n < std::min(n_end, args.n); ++n) {
      const uint16_t* w =
          args.weight + n / kPanelColumns * kPanelColumns * args.k + n % kPanelColumns;
      float acc = 0;
      for (int64_t k = 0; k < args.k; ++k)
        acc = std::fma(x[k], half_to_float(w[k * kPanelColumns]), acc);
      float r = activate<RealScalar>(args.activation, acc + args.bias[n]);
      r = r < args.lo ? args.lo : r;
      r = r > args.hi ? args.hi : r;
      const int64_t at = i * args.y_stride + n;
      if (args.half_output) {
        RealScalar::store_half(static_cast<uint16_t*>(args.y) + at, r);
      } else {
        static_cast<float*>(args.y)[at] = r;
      }
    }
  }
}

void widen_scalar(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = half_to_float(x[i]);
}

}  // namespace qnative::gemm_fp16
