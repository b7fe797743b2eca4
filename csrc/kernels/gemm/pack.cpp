#include <cstring>

#include "gemm.h"
#include "layout.h"

namespace qnative::gemm {
namespace {

// The byte of w[n][s][k] in the panels.
int64_t packed_index(int64_t n, int64_t s, int64_t k, int64_t segments, int64_t segment_size) {
  return n / kPanelColumns * panel_size(segments, segment_size) +
         (s * ceil_div(segment_size, kGroup) + k / kGroup) * kStepBytes +
         n % kPanelColumns * kGroup + k % kGroup;
}

// Four k of 16 columns. Rows of the matrix, or its columns, are usually contiguous: compilers make
// vectors of these loops.
void pack_step(const Matrix& b, const uint8_t* from, uint8_t* to) {
  if (b.n_stride == 1) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      to[kGroup * j] = from[j] ^ b.flip;
      to[kGroup * j + 1] = from[b.k_stride + j] ^ b.flip;
      to[kGroup * j + 2] = from[2 * b.k_stride + j] ^ b.flip;
      to[kGroup * j + 3] = from[3 * b.k_stride + j] ^ b.flip;
    }
  } else if (b.k_stride == 1) {
    const uint32_t flip = b.flip * 0x01010101U;
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      uint32_t group;
      memcpy(&group, from + j * b.n_stride, sizeof(group));
      group ^= flip;
      memcpy(to + kGroup * j, &group, sizeof(group));
    }
  } else {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      for (int64_t i = 0; i < kGroup; ++i) {
        to[kGroup * j + i] = from[i * b.k_stride + j * b.n_stride] ^ b.flip;
      }
    }
  }
}

// The same at the edges of the matrix: what lies beyond is 0.
void pack_edge(const Matrix& b, const uint8_t* from, int64_t k, int64_t columns, uint8_t* to) {
  memset(to, 0, kStepBytes);
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < k; ++i) {
      to[kGroup * j + i] = from[i * b.k_stride + j * b.n_stride] ^ b.flip;
    }
  }
}

}  // namespace

int64_t panels_size(int64_t n, int64_t segments, int64_t segment_size) {
  return ceil_div(n, kPanelColumns) * panel_size(segments, segment_size);
}

int64_t packed_size(int64_t n, int64_t segments, int64_t segment_size) {
  return panels_size(n, segments, segment_size) +
         round_up(n, kPanelColumns) * static_cast<int64_t>(sizeof(int32_t));
}

void pack(const int8_t* weight, int64_t n, int64_t segments, int64_t segment_size, int8_t* packed) {
  const int64_t size = packed_size(n, segments, segment_size);
  if (size == 0) {
    return;
  }
  memset(packed, 0, size);
  int8_t* sums = packed + panels_size(n, segments, segment_size);
  for (int64_t column = 0; column < n; ++column) {
    uint32_t sum = 0;
    for (int64_t s = 0; s < segments; ++s) {
      for (int64_t k = 0; k < segment_size; ++k) {
        packed[packed_index(column, s, k, segments, segment_size)] = *weight;
        sum += static_cast<uint32_t>(int32_t{*weight++});
      }
    }
    memcpy(sums + column * sizeof(sum), &sum, sizeof(sum));
  }
}

void pack_panels(const Matrix& b, int64_t begin, int64_t end, int8_t* packed, int32_t* sums) {
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t n = panel * kPanelColumns;
    const int64_t columns = b.n - n < kPanelColumns ? b.n - n : kPanelColumns;
    int32_t sum[kPanelColumns] = {};
    for (int64_t k = 0; k < b.k; k += kGroup) {
      const uint8_t* from = b.data + k * b.k_stride + n * b.n_stride;
      if (columns == kPanelColumns && k + kGroup <= b.k) {
        pack_step(b, from, reinterpret_cast<uint8_t*>(packed));
      } else {
        const int64_t rows = b.k - k < kGroup ? b.k - k : kGroup;
        pack_edge(b, from, rows, columns, reinterpret_cast<uint8_t*>(packed));
      }
      for (int64_t j = 0; j < kPanelColumns; ++j) {
        const int8_t* w = packed + kGroup * j;
        sum[j] += w[0] + w[1] + w[2] + w[3];
      }
      packed += kStepBytes;
    }
    memcpy(sums, sum, sizeof(sum));
    sums += kPanelColumns;
  }
}

void unpack(const int8_t* packed, int64_t n, int64_t segments, int64_t segment_size,
            int8_t* weight) {
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t s = 0; s < segments; ++s) {
      for (int64_t k = 0; k < segment_size; ++k) {
        *weight++ = packed[packed_index(column, s, k, segments, segment_size)];
      }
    }
  }
}

}  // namespace qnative::gemm
