#include <immintrin.h>

#include "step.h"

namespace qnative::panels {
namespace {

[[gnu::always_inline]] inline __m128i load(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
[[gnu::always_inline]] inline void store(int8_t* p, __m128i v, __m128i flip) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_xor_si128(v, flip));
}

// Up to four k of 16 columns that lie side by side. `flip` in place of a row becomes 0.
[[gnu::always_inline]] inline void pack_rows(const Matrix& m, const uint8_t* from, int64_t k,
                                             __m128i flip, int8_t* to) {
  const __m128i a = load(from), b = k > 1 ? load(from + m.k_stride) : flip;
  const __m128i c = k > 2 ? load(from + 2 * m.k_stride) : flip;
  const __m128i d = k > 3 ? load(from + 3 * m.k_stride) : flip;
  const __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
  const __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
  store(to, _mm_unpacklo_epi16(ab0, cd0), flip);
  store(to + 16, _mm_unpackhi_epi16(ab0, cd0), flip);
  store(to + 32, _mm_unpacklo_epi16(ab1, cd1), flip);
  store(to + 48, _mm_unpackhi_epi16(ab1, cd1), flip);
}

// 16 k of 16 columns whose k lie side by side: groups of four bytes, transposed.
[[gnu::always_inline]] inline void pack_columns(const Matrix& m, const uint8_t* from, __m128i flip,
                                                int8_t* to) {
  for (int64_t j = 0; j < kPanelColumns; j += 4, from += 4 * m.n_stride, to += 4 * kGroup) {
    const __m128i a = load(from), b = load(from + m.n_stride);
    const __m128i c = load(from + 2 * m.n_stride), d = load(from + 3 * m.n_stride);
    const __m128i ab0 = _mm_unpacklo_epi32(a, b), ab1 = _mm_unpackhi_epi32(a, b);
    const __m128i cd0 = _mm_unpacklo_epi32(c, d), cd1 = _mm_unpackhi_epi32(c, d);
    store(to, _mm_unpacklo_epi64(ab0, cd0), flip);
    store(to + kStepBytes, _mm_unpackhi_epi64(ab0, cd0), flip);
    store(to + 2 * kStepBytes, _mm_unpacklo_epi64(ab1, cd1), flip);
    store(to + 3 * kStepBytes, _mm_unpackhi_epi64(ab1, cd1), flip);
  }
}

// k numbers of each of a few columns whose k lie side by side.
void pack_few_columns(const Matrix& m, const uint8_t* from, int64_t k, int64_t columns,
                      int8_t* to) {
  const uint32_t flip = m.flip * 0x01010101U;
  memset(to, 0, ceil_div(k, kGroup) * kStepBytes);
  for (int64_t j = 0; j < columns; ++j, from += m.n_stride, to += kGroup) {
    int64_t i = 0;
    for (; i + kGroup <= k; i += kGroup) {
      uint32_t group;
      memcpy(&group, from + i, sizeof(group));
      group ^= flip;
      memcpy(to + i * kPanelColumns, &group, sizeof(group));
    }
    for (int64_t r = i; r < k; ++r) {
      const uint8_t byte = from[r] ^ m.flip;
      memcpy(to + i * kPanelColumns + r - i, &byte, 1);
    }
  }
}

[[gnu::always_inline]] inline __m256i sum_groups(const int8_t* p) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

void sum_columns(const int8_t* packed, int64_t steps, int32_t* sums) {
  __m256i low = _mm256_setzero_si256(), high = low;
  for (int64_t s = 0; s < steps; ++s, packed += kStepBytes) {
    low = _mm256_add_epi32(low, sum_groups(packed));
    high = _mm256_add_epi32(high, sum_groups(packed + 32));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8), high);
}

}  // namespace

Fn avx2;
void avx2(const Matrix& matrix, int64_t begin, int64_t end, int8_t* packed, int32_t* sums) {
  const __m128i flip = _mm_set1_epi8(static_cast<char>(matrix.flip));
  const int64_t steps = ceil_div(matrix.k, kGroup);
  for (int64_t panel = begin; panel < end; ++panel, sums += kPanelColumns) {
    const int64_t n = panel * kPanelColumns;
    const int64_t columns = matrix.n - n < kPanelColumns ? matrix.n - n : kPanelColumns;
    const uint8_t* const first = matrix.data + n * matrix.n_stride;
    if (columns == kPanelColumns && matrix.n_stride == 1) {
      for (int64_t k = 0; k < matrix.k; k += kGroup) {
        pack_rows(matrix, first + k * matrix.k_stride, matrix.k - k, flip,
                  packed + k * kPanelColumns);
      }
    } else if (matrix.k_stride == 1) {
      int64_t k = 0;
      for (; columns == kPanelColumns && k + 16 <= matrix.k; k += 16) {
        pack_columns(matrix, first + k, flip, packed + k * kPanelColumns);
      }
      pack_few_columns(matrix, first + k, matrix.k - k, columns, packed + k * kPanelColumns);
    } else {
      for (int64_t k = 0; k < matrix.k; k += kGroup) {
        pack_edge(matrix, first + k * matrix.k_stride,
                  matrix.k - k < kGroup ? matrix.k - k : kGroup, columns,
                  packed + k * kPanelColumns);
      }
    }
    sum_columns(packed, steps, sums);
    packed += steps * kStepBytes;
  }
}

}  // namespace qnative::panels
