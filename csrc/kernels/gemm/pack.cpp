#include <cstring>

#include "gemm.h"
#include "layout.h"

namespace qnative::gemm {

int64_t panels_size(int64_t n, int64_t segments, int64_t segment_size) {
  return ceil_div(n, kPanelColumns) * panel_size(segments, segment_size);
}

int64_t packed_size(int64_t n, int64_t segments, int64_t segment_size) {
  return panels_size(n, segments, segment_size) +
         round_up(n, kPanelColumns) * static_cast<int64_t>(sizeof(int32_t));
}

void pack(const int8_t* weight, int64_t n, int64_t segments, int64_t segment_size, int8_t* packed) {
  const int64_t size = packed_size(n, segments, segment_size);
  if (size == 0) return;
  memset(packed, 0, size);
  const int64_t panel = panel_size(segments, segment_size);
  int8_t* sums = packed + panels_size(n, segments, segment_size);
  for (int64_t column = 0; column < n; ++column) {
    uint32_t sum = 0;
    for (int64_t s = 0; s < segments; ++s) {
      for (int64_t k = 0; k < segment_size; ++k) {
        packed[packed_index(column, s, k, segment_size, panel)] = *weight;
        sum += static_cast<uint32_t>(int32_t{*weight++});
      }
    }
    memcpy(sums + column * sizeof(sum), &sum, sizeof(sum));
  }
}

void unpack(const int8_t* packed, int64_t n, int64_t segments, int64_t segment_size,
            int8_t* weight) {
  const int64_t panel = panel_size(segments, segment_size);
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t s = 0; s < segments; ++s) {
      for (int64_t k = 0; k < segment_size; ++k) {
        *weight++ = packed[packed_index(column, s, k, segment_size, panel)];
      }
    }
  }
}

}  // namespace qnative::gemm
