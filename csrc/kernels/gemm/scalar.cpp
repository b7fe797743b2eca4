#include <algorithm>
#include <cmath>

#include "gemm.h"
#include "layout.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"
#include "words.h"

namespace qnative::gemm {
namespace {

// w[n][s][k]
int32_t weight(const Args& args, int64_t n, int64_t s, int64_t k) {
  return args.weight[packed_index(n, s, k, args.segment_size, panel_stride(args))];
}

// Wraps around, as the vector instructions do.
int32_t accumulate(const Args& args, int64_t i, int64_t n) {
  const uint8_t* x = x_row(args, i);
  uint32_t acc = static_cast<uint32_t>(args.start[n]);
  if (args.row_factor != nullptr) {
    acc += static_cast<uint32_t>(args.row_factor[i]) * static_cast<uint32_t>(args.column_factor[n]);
  }
  for (int64_t s = 0; s < args.segments; ++s) {
    for (int64_t k = 0; k < args.segment_size; ++k) {
      // Modulo 2^32.
      acc += static_cast<uint32_t>(x[args.segment_offset[s] + k] * weight(args, n, s, k));
    }
  }
  for (int64_t o = 0; args.outlier_count != nullptr && o < args.outlier_count[i]; ++o) {
    const auto [k, excess] = outliers_of(args, i)[o];
    // Modulo 2^32.
    acc += static_cast<uint32_t>(excess * weight(args, n, 0, k));
  }
  return static_cast<int32_t>(acc);
}

float clamp(float r, float lo, float hi) {
  const float above = r < lo ? lo : r;
  return above > hi ? hi : above;
}

}  // namespace

Fn scalar;
void scalar(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
            std::byte*) {
  for (int64_t i = m_begin; i < m_end; ++i) {
    for (int64_t n = n_begin; n < std::min(n_end, args.n); ++n) {
      const int32_t acc = accumulate(args, i, n);
      const int64_t at = i * args.y_stride + n;
      if (args.sum_output) {
        static_cast<int32_t*>(args.y)[at] = acc;
        continue;
      }
      const bool has_row_multiplier = args.float_output && args.row_multiplier != nullptr;
      const float row_multiplier = has_row_multiplier ? args.row_multiplier[i] : 1.0f;
      const float r =
          std::fma(static_cast<float>(acc), row_multiplier * args.multiplier[n], args.bias[n]);
      if (args.float_output) {
        static_cast<float*>(args.y)[at] =
            clamp(activate<RealScalar>(args.activation, r), args.float_lo, args.float_hi);
      } else {
        store_requantized(args.y, at, r, args.requantize, args.word_output);
      }
    }
  }
}

}  // namespace qnative::gemm
