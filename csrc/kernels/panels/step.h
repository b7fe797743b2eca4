#pragma once

#include <string.h>

#include "blocks.h"
#include "panels.h"

namespace qnative::panels {
namespace {

constexpr int64_t kGroup = 4;  // consecutive k of one column
constexpr int64_t kStepBytes = kPanelColumns * kGroup;

// Four k of 16 columns at the edge of the matrix: `k` and `columns` of them, the others 0.
inline void pack_edge(const Matrix& m, const uint8_t* from, int64_t k, int64_t columns,
                      int8_t* to) {
  memset(to, 0, kStepBytes);
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < k; ++i) {
      const uint8_t byte = from[i * m.k_stride + j * m.n_stride] ^ m.flip;
      memcpy(to + kGroup * j + i, &byte, 1);
    }
  }
}

}  // namespace
}  // namespace qnative::panels
