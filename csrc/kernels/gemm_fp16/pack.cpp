#include <algorithm>

#include "blocks.h"
#include "gemm_fp16.h"

namespace qnative::gemm_fp16 {

int64_t packed_size(int64_t n, int64_t k) { return round_up(n, kPanelColumns) * k; }

void pack(const uint16_t* weight, int64_t n, int64_t k, int64_t n_stride, int64_t k_stride,
          uint16_t* packed) {
  for (int64_t panel = 0; panel < n; panel += kPanelColumns) {
    const int64_t columns = std::min(n - panel, kPanelColumns);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < kPanelColumns; ++j) {
        *packed++ = j < columns ? weight[(panel + j) * n_stride + i * k_stride] : uint16_t{0};
      }
    }
  }
}

void unpack(const uint16_t* packed, int64_t n, int64_t k, uint16_t* weight) {
  for (int64_t column = 0; column < n; ++column) {
    const uint16_t* from =
        packed + column / kPanelColumns * kPanelColumns * k + column % kPanelColumns;
    for (int64_t i = 0; i < k; ++i) *weight++ = from[i * kPanelColumns];
  }
}

}  // namespace qnative::gemm_fp16
