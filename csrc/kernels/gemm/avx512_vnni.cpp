#include "gemm.h"
#include "layout.h"
#include "simd/activation.h"
#include "simd/intrinsics_avx512.h"
#include "simd/real_avx512.h"
#include "simd/unroll.h"

namespace qnative::gemm {
namespace {

// `count` tiles, one below the other from row m on, `before` others above them: 16 * kVectors
// columns of kRows rows, of which `columns` columns are stored.
using TilesFn = void(const Args& args, int64_t m, int64_t count, int64_t before, int64_t n,
                     int64_t columns);

// Requantize in vectors. y may alias anything as far as the compiler knows: read from Args, all of
// it would be read and broadcast again after every row.
struct Requantizer {
  Requantizer(const Requantize& q, bool is_small)
      : saturates(qnative::saturates(q, is_small)),
        hi(_mm512_set1_ps(static_cast<float>(q.hi - q.zero_point))),
        zero_point(_mm512_set1_epi16(static_cast<int16_t>(q.zero_point))),
        lo(_mm512_set1_epi8(static_cast<int8_t>(q.lo))),
        flip(_mm512_set1_epi8(static_cast<int8_t>(q.flip))),
        order(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)) {}

  // 16 * kVectors numbers to bytes in order. Saturation does the lower clamp: what is below -32768
  // (and INT_MIN, which cvtps gives below int32) ends as 0 after the zero point is added.
  template <int kVectors>
  [[gnu::always_inline]] __m512i bytes(const __m512 (&r)[kVectors]) const {
    __m512i v[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      v[j] = _mm512_cvtps_epi32(_mm512_min_ps(r[j], hi));
    });
    const __m512i y = pack(v, [&](__m512i words) __attribute__((always_inline)) {
      return _mm512_adds_epi16(words, zero_point);
    });
    return _mm512_xor_si512(_mm512_max_epu8(y, lo), flip);
  }

  // The same where packing does all the clamping.
  template <int kVectors>
  [[gnu::always_inline]] __m512i saturated_bytes(const __m512 (&r)[kVectors]) const {
    __m512i v[kVectors];
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { v[j] = _mm512_cvtps_epi32(r[j]); });
    return pack(v, [](__m512i words) __attribute__((always_inline)) { return words; });
  }

  template <int kVectors, class F>
  [[gnu::always_inline]] __m512i pack(const __m512i (&v)[kVectors], F add_zero_point) const {
    constexpr int kLast = kVectors - 1;
    const __m512i low = add_zero_point(_mm512_packs_epi32(v[0], v[kLast < 1 ? kLast : 1]));
    __m512i high = low;
    if constexpr (kVectors > 2) high = add_zero_point(_mm512_packs_epi32(v[2], v[kLast]));
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
  }

  bool saturates;
  __m512 hi;
  __m512i zero_point, lo, flip, order;
};

// Of `bytes`, the 16 * kVectors from 16 * kFirst on. Masked stores are several times slower than
// plain ones: only for the last columns.
template <int kVectors, int kFirst>
[[gnu::always_inline]] inline void store_bytes(uint8_t* y, __m512i bytes, int64_t columns) {
  if constexpr (kVectors == 1) {
    const __m128i row = _mm512_extracti32x4_epi32(bytes, kFirst);
    if (columns < 16) {
      _mm_mask_storeu_epi8(y, static_cast<__mmask16>((1U << columns) - 1), row);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), row);
    }
  } else if constexpr (kVectors == 2) {
    const __m256i row = _mm512_extracti64x4_epi64(bytes, kFirst / 2);
    if (columns < 32) {
      _mm256_mask_storeu_epi8(y, (uint32_t{1} << columns) - 1, row);
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), row);
    }
  } else if (columns < 16 * kVectors) {
    _mm512_mask_storeu_epi8(y, (uint64_t{1} << columns) - 1, bytes);
  } else if constexpr (kVectors == 3) {
    store_bytes<2, 0>(y, bytes, 32);
    store_bytes<1, 2>(y + 32, bytes, 16);
  } else {
    _mm512_storeu_si512(y, bytes);
  }
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store_requantized(const Args& args,
                                                     const __m512i (&acc)[kRows][kVectors],
                                                     int64_t m, int64_t n, int64_t columns) {
  const Requantizer requantizer(args.requantize, args.small);
  __m512 multiplier[kVectors], bias[kVectors];
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    multiplier[j] = _mm512_loadu_ps(args.multiplier + n + 16 * j);
    bias[j] = _mm512_loadu_ps(args.bias + n + 16 * j);
  });
  const int64_t y_stride = args.y_stride;
  uint8_t* y = static_cast<uint8_t*>(args.y) + m * y_stride + n;
  // As many rows as one vector of bytes holds are packed together.
  constexpr int kTogether = kVectors <= 2 ? 4 / kVectors : 1;
  const auto rows = [&](auto to_bytes) __attribute__((always_inline)) {
    unroll<(kRows + kTogether - 1) / kTogether>([&](auto group) __attribute__((always_inline)) {
      constexpr int kFirst = group * kTogether;
      constexpr int kCount = kRows - kFirst < kTogether ? kRows - kFirst : kTogether;
      __m512 r[kCount * kVectors];
      unroll<kCount * kVectors>([&](auto j) __attribute__((always_inline)) {
        constexpr int kColumn = j % kVectors;
        r[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[kFirst + j / kVectors][kColumn]),
                               multiplier[kColumn], bias[kColumn]);
      });
      const __m512i bytes = to_bytes(r);
      unroll<kCount>([&](auto i) __attribute__((always_inline)) {
        store_bytes<kVectors, i * kVectors>(y, bytes, columns);
        y += y_stride;
      });
    });
  };
  if (requantizer.saturates) {
    rows([&](const auto& r)
             __attribute__((always_inline)) { return requantizer.saturated_bytes(r); });
  } else {
    rows([&](const auto& r) __attribute__((always_inline)) { return requantizer.bytes(r); });
  }
}

template <int kVectors>
[[gnu::always_inline]] inline void store_floats(float* y, const __m512 (&r)[kVectors],
                                                int64_t columns) {
  if (columns >= 16 * kVectors) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { _mm512_storeu_ps(y + 16 * j, r[j]); });
    return;
  }
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    const int64_t left = columns - 16 * j;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    _mm512_mask_storeu_ps(y + 16 * j, mask, r[j]);
  });
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store_real(const Args& args,
                                              const __m512i (&acc)[kRows][kVectors], int64_t m,
                                              int64_t n, int64_t columns) {
  const __m512 lo = _mm512_set1_ps(args.float_lo);
  const __m512 hi = _mm512_set1_ps(args.float_hi);
  const float* multiplier = args.multiplier + n;
  const float* bias = args.bias + n;
  const float* row_multiplier = args.row_multiplier;
  const int64_t y_stride = args.y_stride;
  float* y = static_cast<float*>(args.y) + m * y_stride + n;
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    const __m512 of_row = _mm512_set1_ps(row_multiplier != nullptr ? row_multiplier[m + i] : 1.0f);
    __m512 r[kVectors];
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      r[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i][j]),
                             _mm512_mul_ps(of_row, _mm512_loadu_ps(multiplier + 16 * j)),
                             _mm512_loadu_ps(bias + 16 * j));
      // The second operand is what min and max give for NaN.
      r[j] = _mm512_min_ps(hi, _mm512_max_ps(lo, r[j]));
    });
    store_floats<kVectors>(y, r, columns);
    y += y_stride;
  });
}

// acc: [rows][vectors]. Apart from the tiles, because the time of an activation hides the detour
// through the stack, and forty unrolled copies would be most of the code.
[[gnu::noinline]] void store_activated(const Args& args, const __m512i* acc, int64_t rows,
                                       int64_t vectors, int64_t m, int64_t n, int64_t columns) {
  const __m512 lo = _mm512_set1_ps(args.float_lo);
  const __m512 hi = _mm512_set1_ps(args.float_hi);
  for (int64_t i = 0; i < rows; ++i) {
    float* y = static_cast<float*>(args.y) + (m + i) * args.y_stride + n;
    for (int64_t j = 0; j < vectors; ++j) {
      __m512 multiplier = _mm512_loadu_ps(args.multiplier + n + 16 * j);
      if (args.row_multiplier != nullptr) {
        multiplier = _mm512_mul_ps(multiplier, _mm512_set1_ps(args.row_multiplier[m + i]));
      }
      __m512 r = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i * vectors + j]), multiplier,
                                 _mm512_loadu_ps(args.bias + n + 16 * j));
      r = activate<RealAvx512>(args.activation, r);
      // The second operand is what min and max give for NaN.
      r = _mm512_min_ps(hi, _mm512_max_ps(lo, r));
      const int64_t left = columns - 16 * j;
      if (left >= 16) {
        _mm512_storeu_ps(y + 16 * j, r);
      } else {
        _mm512_mask_storeu_ps(y + 16 * j, static_cast<__mmask16>((1U << left) - 1), r);
      }
    }
  }
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void store(const Args& args, const __m512i (&acc)[kRows][kVectors],
                                         int64_t m, int64_t n, int64_t columns) {
  if (!args.float_output) {
    store_requantized(args, acc, m, n, columns);
    return;
  }
  if (args.activation == FloatActivation::kNone) {
    store_real(args, acc, m, n, columns);
    return;
  }
  __m512i copy[kRows * kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j)
                         __attribute__((always_inline)) { copy[i * kVectors + j] = acc[i][j]; });
  });
  store_activated(args, copy, kRows, kVectors, m, n, columns);
}

[[gnu::always_inline]] inline __m512i broadcast_group(const uint8_t* x) {
  int32_t group;
  memcpy(&group, x, sizeof(group));
  return _mm512_set1_epi32(group);
}

// sums: [rows][vectors], what the outliers of rows from m on add. The weight goes to the upper half
// of its lane, the excess stands in that half alone.
[[gnu::noinline]] void sum_outliers(const Args& args, int64_t rows, int64_t vectors, int64_t m,
                                    int64_t n, __m512i* sums) {
  const int64_t panel = panel_size(args.segments, args.segment_size);
  for (int64_t i = 0; i < rows; ++i, sums += vectors) {
    for (int64_t j = 0; j < vectors; ++j) sums[j] = _mm512_setzero_si512();
    for (int64_t o = 0; o < args.outlier_count[m + i]; ++o) {
      const Outlier outlier = outliers_of(args, m + i)[o];
      const int8_t* const w = lanes_of(args, n, outlier.k);
      const __m512i excess = _mm512_set1_epi32(static_cast<int>(upper_half(outlier.excess)));
      const __m128i shift = _mm_cvtsi32_si128(shift_to_top(outlier.k));
      for (int64_t j = 0; j < vectors; ++j) {
        const __m512i top = _mm512_sll_epi32(_mm512_loadu_si512(w + panel * j), shift);
        sums[j] = _mm512_add_epi32(sums[j], _mm512_madd_epi16(_mm512_srai_epi16(top, 8), excess));
      }
    }
  }
}

// What the sums begin with.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void load_start(const Args& args, __m512i (&acc)[kRows][kVectors],
                                              int64_t m, int64_t n) {
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      acc[i][j] = _mm512_loadu_si512(args.start + n + 16 * j);
    });
  });
  if (args.row_factor != nullptr) {
    const int32_t* column_factor = args.column_factor + n;
    unroll<kRows>([&](auto i) __attribute__((always_inline)) {
      const __m512i factor = _mm512_set1_epi32(args.row_factor[m + i]);
      unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
        acc[i][j] = _mm512_add_epi32(
            acc[i][j], _mm512_mullo_epi32(factor, _mm512_loadu_si512(column_factor + 16 * j)));
      });
    });
  }
  if (!has_outliers(args, m, kRows)) return;
  __m512i sums[kRows * kVectors];
  sum_outliers(args, kRows, kVectors, m, n, sums);
  unroll<kRows>([&](auto i) __attribute__((always_inline)) {
    unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
      acc[i][j] = _mm512_add_epi32(acc[i][j], sums[i * kVectors + j]);
    });
  });
}

// The lines that a tile will write. A large y is in no cache, and what the stores of one tile wait
// for delays the products of the next: 1.4 times faster at 6272 x 480 x 80.
template <int kRows>
[[gnu::always_inline]] inline void prefetch_output(const Args& args, int64_t m, int64_t n,
                                                   int64_t columns) {
  const int64_t size = args.float_output ? sizeof(float) : 1;
  if (args.y_stride * size < 64) return;
  const uint8_t* y = static_cast<const uint8_t*>(args.y) + (m * args.y_stride + n) * size;
  unroll<kRows>([&](auto) __attribute__((always_inline)) {
    __builtin_prefetch(y, 1);
    __builtin_prefetch(y + columns * size - 1, 1);
    y += args.y_stride * size;
  });
}

// ahead: with kFetches, from the weights of the tile to some that later tiles need.
template <int kRows, int kVectors, bool kFetches>
[[gnu::always_inline]] inline void tile(const Args& args, int64_t panel, int64_t ahead, int64_t m,
                                        int64_t n, int64_t columns) {
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  constexpr int kPointers = 8;  // general registers for addresses of rows
  const uint8_t* row[kRows];
  __m512i acc[kRows][kVectors];
  unroll<kRows>([&](auto i) __attribute__((always_inline)) { row[i] = x_row(args, m + i); });
  load_start(args, acc, m, n);
  prefetch_output<kRows>(args, m, n, columns);
  for (int64_t s = 0; s < args.segments; ++s) {
    const int64_t end = args.segment_offset[s] + args.segment_size;
    for (int64_t k = args.segment_offset[s]; k < end; k += kGroup) {
      // Rows are addressed as row[i] + k. g++ would rather keep distances from the first row, and
      // those that do not fit into registers in vector registers, which are slow to get at.
      asm("" : "+r"(k));
      __m512i b[kVectors];
      unroll<kVectors>(
          [&](auto j) __attribute__((always_inline)) { b[j] = _mm512_loadu_si512(w + panel * j); });
      if constexpr (kFetches) {
        __builtin_prefetch(w + ahead, 0, 2);
        __builtin_prefetch(w + ahead + panel, 0, 2);
      }
      w += kStepBytes;
      unroll<kRows>([&](auto i) __attribute__((always_inline)) {
        if constexpr (i >= kPointers) asm("" : "+m"(row[i]));
        const __m512i a = broadcast_group(row[i] + k);
        unroll<kVectors>([&](auto j)
                             __attribute__((always_inline)) { dpbusd(acc[i][j], a, b[j]); });
      });
    }
  }
  store(args, acc, m, n, columns);
}

// With kFetches the first tiles fetch the panels to the right into the L2 cache, two each. A large
// network finds its weights in no cache, and few rows do not hide it.
template <int kRows, int kVectors, bool kFetches>
void tiles(const Args& args, int64_t m, int64_t count, int64_t before, int64_t n, int64_t columns) {
  const int64_t panel = panel_size(args.segments, args.segment_size);
  for (int64_t i = before; i < before + count; ++i, m += kRows) {
    const bool has_share = 2 * i < kVectors && n + 16 * kVectors < args.n;
    const int64_t ahead = has_share ? (kVectors + 2 * i) * panel : 0;
    tile<kRows, kVectors, kFetches>(args, panel, ahead, m, n, columns);
  }
}

// One row is bound by reading the weights once: they are memory operands, and kSteps steps of k
// with accumulators of their own hide the latency of vpdpbusd.
template <int kVectors>
[[gnu::always_inline]] inline void row_tile(const Args& args, int64_t panel, int64_t m, int64_t n,
                                            int64_t columns) {
  constexpr int kSteps = kVectors == 1 ? 8 : kVectors == 2 ? 4 : 2;
  const int8_t* w = args.weight + n / kPanelColumns * panel;
  __m512i acc[kSteps][kVectors];
  __m512i sum[1][kVectors];
  load_start(args, sum, m, n);
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    acc[0][j] = sum[0][j];
    unroll<kSteps - 1>(
        [&](auto u) __attribute__((always_inline)) { acc[u + 1][j] = _mm512_setzero_si512(); });
  });
  for (int64_t s = 0; s < args.segments; ++s) {
    const uint8_t* x = x_row(args, m) + args.segment_offset[s];
    const int64_t groups = ceil_div(args.segment_size, kGroup);
    int64_t g = 0;
    for (; g + kSteps <= groups; g += kSteps) {
      unroll<kSteps>([&](auto u) __attribute__((always_inline)) {
        const __m512i a = broadcast_group(x + kGroup * (g + u));
        unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
          dpbusd_load(acc[u][j], a, w + panel * j + kStepBytes * u);
        });
      });
      w += kSteps * kStepBytes;
    }
    for (; g < groups; ++g) {
      const __m512i a = broadcast_group(x + kGroup * g);
      unroll<kVectors>(
          [&](auto j) __attribute__((always_inline)) { dpbusd_load(acc[0][j], a, w + panel * j); });
      w += kStepBytes;
    }
  }
  unroll<kVectors>([&](auto j) __attribute__((always_inline)) {
    sum[0][j] = acc[0][j];
    unroll<kSteps - 1>([&](auto u) __attribute__((always_inline)) {
      sum[0][j] = _mm512_add_epi32(sum[0][j], acc[u + 1][j]);
    });
  });
  store(args, sum, m, n, columns);
}

template <int kVectors>
void row_tiles(const Args& args, int64_t m, int64_t count, int64_t, int64_t n, int64_t columns) {
  const int64_t panel = panel_size(args.segments, args.segment_size);
  for (int64_t end = m + count; m < end; ++m) row_tile<kVectors>(args, panel, m, n, columns);
}

// The tiles of kVectors vectors: [rows - 1].
template <int kVectors, bool kFetches, int... kRows>
TilesFn* select_tiles(int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TilesFn* kTiles[] = {row_tiles<kVectors>,
                                        tiles<kRows + 2, kVectors, kFetches>...};
  return kTiles[rows - 1];
}

template <int kMaxRows, int kVectors, bool kFetches = false>
void sweep(const Args& args, int64_t m_begin, int64_t m_end, int64_t n, int64_t columns) {
  constexpr std::make_integer_sequence<int, kMaxRows - 1> kRowCounts;
  const Blocks blocks(m_end - m_begin, kMaxRows);
  const int64_t middle = m_begin + blocks.larger * (blocks.size + 1);
  if (blocks.larger > 0) {
    select_tiles<kVectors, kFetches>(blocks.size + 1, kRowCounts)(args, m_begin, blocks.larger, 0,
                                                                  n, columns);
  }
  select_tiles<kVectors, kFetches>(blocks.size, kRowCounts)(
      args, middle, blocks.count - blocks.larger, blocks.larger, n, columns);
}

}  // namespace

Fn avx512_vnni;
void avx512_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end,
                 std::byte*) {
  // Rows of x that stay in the L2 cache beside a panel of 64 columns.
  constexpr int64_t kBlockBytes = 384 * 1024;
  const int64_t k = row_size(args);
  const int64_t fitting = kBlockBytes / (k > 0 ? k : 1);
  const int64_t block_rows = fitting > 48 ? fitting : 48;
  // A short k leaves more of the time to the epilogue, where five rows do better than six.
  const bool is_short = k <= 128;
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block_rows) {
    const int64_t m_next = m + block_rows < m_end ? m + block_rows : m_end;
    for (int64_t n = n_begin; n < n_end; n += 64) {
      const int64_t columns = n_end - n < 64 ? n_end - n : 64;
      switch (ceil_div(columns, 16)) {
        case 1:
          sweep<16, 1>(args, m, m_next, n, columns);
          break;
        case 2:
          sweep<12, 2>(args, m, m_next, n, columns);
          break;
        case 3:
          sweep<8, 3>(args, m, m_next, n, columns);
          break;
        default:
          if (is_short) {
            sweep<5, 4>(args, m, m_next, n, columns);
          } else {
            sweep<6, 4, true>(args, m, m_next, n, columns);
          }
      }
    }
  }
}

}  // namespace qnative::gemm
