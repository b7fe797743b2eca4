#include <algorithm>

#include "blocks.h"
#include "gemm_fp16.h"

namespace qnative::gemm_fp16 {

int64_t packed_size(int64_t n, int64_t k) { return round_up(n, 16) * k; }

void pack(const uint16_t* weight, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
          uint16_t* packed) {
  for (int64_t panel = 0; panel < n; panel += 16) {
    const int64_t columns = std::min<int64_t>(n - panel, 16);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < 16; ++j) {
        *packed++ = j < columns ? weight[(panel + j) * n_stride + i * k_stride] : uint16_t{0};
      }
    }
  }
}

void unpack(const uint16_t* packed, int64_t n, int64_t k, uint16_t* weight) {
  for (int64_t column = 0; column < n; ++column) {
    const uint16_t* from = packed + column / 16 * 16 * k + column % 16;
    for (int64_t i = 0; i < k; ++i) *weight++ = from[i * 16];
  }
}

}  // namespace qnative::gemm_fp16
