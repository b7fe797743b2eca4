#include "step.h"

namespace qnative::panels {
namespace {

// Four k of 16 columns. Rows of the matrix, or its columns, are usually contiguous: compilers make
// vectors of these loops.
void pack_step(const Matrix& m, const uint8_t* from, int8_t* to) {
  uint8_t bytes[kStepBytes];
  if (m.n_stride == 1) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      bytes[kGroup * j] = from[j] ^ m.flip;
      bytes[kGroup * j + 1] = from[m.k_stride + j] ^ m.flip;
      bytes[kGroup * j + 2] = from[2 * m.k_stride + j] ^ m.flip;
      bytes[kGroup * j + 3] = from[3 * m.k_stride + j] ^ m.flip;
    }
  } else {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      for (int64_t i = 0; i < kGroup; ++i) {
        bytes[kGroup * j + i] = from[i * m.k_stride + j * m.n_stride] ^ m.flip;
      }
    }
  }
  memcpy(to, bytes, kStepBytes);
}

}  // namespace

Fn scalar;
void scalar(const Matrix& matrix, int64_t begin, int64_t end, int8_t* packed, int32_t* sums) {
  for (int64_t panel = begin; panel < end; ++panel, sums += kPanelColumns) {
    const int64_t n = panel * kPanelColumns;
    const int64_t columns = matrix.n - n < kPanelColumns ? matrix.n - n : kPanelColumns;
    int32_t sum[kPanelColumns] = {};
    for (int64_t k = 0; k < matrix.k; k += kGroup, packed += kStepBytes) {
      const uint8_t* from = matrix.data + k * matrix.k_stride + n * matrix.n_stride;
      if (columns == kPanelColumns && k + kGroup <= matrix.k) {
        pack_step(matrix, from, packed);
      } else {
        const int64_t rows = matrix.k - k < kGroup ? matrix.k - k : kGroup;
        pack_edge(matrix, from, rows, columns, packed);
      }
      for (int64_t j = 0; j < kPanelColumns; ++j) {
        const int8_t* group = packed + kGroup * j;
        sum[j] += group[0] + group[1] + group[2] + group[3];
      }
    }
    memcpy(sums, sum, sizeof(sum));
  }
}

}  // namespace qnative::panels
