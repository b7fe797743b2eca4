#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "fit.h"
#include "gemm_4bit.h"
#include "panel.h"
#include "simd/activation.h"
#include "simd/real_scalar.h"

namespace qnative::gemm_4bit {
namespace {

// -8 * sum q + sum q * (code + 8) over the group g of row i.
int32_t sum_group(const Args& args, int64_t i, int64_t n, int64_t g) {
  const Layout& layout = args.layout;
  const int8_t* x = args.x.q + i * layout.row_bytes() + g * layout.group_steps() * kStepK;
  const int64_t size = g + 1 < layout.groups() ? layout.group : layout.last_group();
  int32_t acc = args.x.start[i * layout.groups() + g];
  for (int64_t k = 0; k < size; ++k) {
    acc += x[k] * nibble_of(args.weight, layout, n, g, k);
  }
  return acc;
}

}  // namespace

void scalar(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t groups = args.layout.groups();
  for (int64_t i = m_begin; i < m_end; ++i) {
    for (int64_t n = n_begin; n < std::min(n_end, args.n); ++n) {
      float r = args.bias[n];
      for (int64_t g = 0; g < groups; ++g) {
        const float scale = bfloat16_to_float(scale_bits(args.weight, args.layout, n, g));
        r = std::fma(static_cast<float>(sum_group(args, i, n, g)),
                     args.x.scale[i * groups + g] * scale, r);
      }
      r = activate<RealScalar>(args.activation, r);
      r = r < args.lo ? args.lo : r;
      args.y[i * args.y_stride + n] = r > args.hi ? args.hi : r;
    }
  }
}

void quantize_scalar(const float* x, const Layout& layout, const Rows& rows, int64_t i) {
  const int64_t groups = layout.groups();
  int8_t* q = rows.q + i * layout.row_bytes();
  std::fill_n(q, layout.row_bytes(), int8_t{0});
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t size = g + 1 < groups ? layout.group : layout.last_group();
    float peak = 0;
    bool finite = true;
    for (int64_t k = 0; k < size; ++k) {
      finite &= std::isfinite(x[k]);
      peak = std::max(peak, std::abs(x[k]));
    }
    const float scale = std::max(peak / 127, std::numeric_limits<float>::min());
    int32_t sum = 0;
    for (int64_t k = 0; finite && k < size; ++k) {
      q[k] = static_cast<int8_t>(std::nearbyint(x[k] * (1 / scale)));
      sum += q[k];
    }
    rows.start[i * groups + g] = -8 * sum;
    rows.scale[i * groups + g] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
    x += size;
    q += layout.group_steps() * kStepK;
  }
}

void fit_scalar(const float* w, int64_t n, float peak, const float* scale, Fit& fit) {
  run_fit<RealScalar>(w, n, peak, scale, fit);
}

}  // namespace qnative::gemm_4bit
