#pragma once

#include <string.h>

#include "plan.h"
#include "simd/intrinsics_avx512.h"
#include "simd/unroll.h"

// 3x3 windows of stride 2, straight from x. One or two outputs read an input column, so a ring of
// bundles would be written about as often as it is read: the columns of 64 channels are interleaved
// in registers instead.
//
// Interleaving within the 128-bit lanes of registers puts channels 16 * lane + 4 * part + {0..3} of
// a group of 64 into lane `lane` of register `part`. The weights in scratch have the same order,
// and packing the sums of the four parts restores the order of the channels.
namespace qnative::dwconv {
namespace {

// Weights of a group: 3 columns of taps, then start, multiplier and bias, one register per part.
constexpr int kParts64 = kGroupChannels / kUnit;
constexpr int64_t kConstants64 = 3 * kParts64 * kCell;

// One output row of one group.
struct StridedRow {
  const uint8_t* from[3];  // input column 0 of the rows of the windows; any address if mask is 0
  __mmask64 mask[3];       // bytes to read from them
  int64_t step;            // bytes between columns
  int64_t first, width;    // first input column of the first window, may be negative; columns of x
  __m512i pad;             // replaces bytes that are not read
  __m512i flip;
  const uint8_t* weight;
  __mmask64 channels;
  int64_t at;       // element of y of the first output
  int64_t columns;  // outputs
};

// kWhole: all bytes of all rows exist.
template <bool kWhole, bool kFlip>
[[gnu::always_inline]] inline void interleave3(const StridedRow& r, int64_t column,
                                               __m512i (&to)[kParts64]) {
  if (column < 0 || column >= r.width) [[unlikely]] {
    const __m512i pad = kFlip ? _mm512_xor_si512(r.pad, r.flip) : r.pad;
    unroll<kParts64>([&](auto part) __attribute__((always_inline)) { to[part] = pad; });
    return;
  }
  __m512i x[3];
  unroll<3>([&](auto i) __attribute__((always_inline)) {
    const uint8_t* from = r.from[i] + column * r.step;
    if constexpr (kWhole) {
      x[i] = _mm512_loadu_si512(from);
    } else {
      const __mmask64 mask = r.mask[i];
      x[i] = _mm512_mask_blend_epi8(mask, r.pad, _mm512_maskz_loadu_epi8(mask, from));
    }
    if constexpr (kFlip) x[i] = _mm512_xor_si512(x[i], r.flip);
  });
  // The fourth tap is 0: any byte may take its place.
  const __m512i front01 = _mm512_unpacklo_epi8(x[0], x[1]);
  const __m512i back01 = _mm512_unpackhi_epi8(x[0], x[1]);
  const __m512i front2 = _mm512_unpacklo_epi8(x[2], x[2]);
  const __m512i back2 = _mm512_unpackhi_epi8(x[2], x[2]);
  to[0] = _mm512_unpacklo_epi16(front01, front2);
  to[1] = _mm512_unpackhi_epi16(front01, front2);
  to[2] = _mm512_unpacklo_epi16(back01, back2);
  to[3] = _mm512_unpackhi_epi16(back01, back2);
}

// kColumns outputs: the first one reads x[0] and the columns after `column`. Leaves in x[0] the
// column that the next one reads. Two outputs share the loads of weights and constants.
template <int kColumns, bool kWhole, bool kFlip, class V>
[[gnu::always_inline]] inline void strided_tile(const V& v, const StridedRow& r, int64_t column,
                                                int64_t at, __m512i (&x)[5][kParts64]) {
  const uint8_t* constants = r.weight + kConstants64;
  __m512i acc[kColumns][kParts64];
  unroll<kParts64>([&](auto part) __attribute__((always_inline)) {
    unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
      acc[j][part] = _mm512_load_si512(constants + part * kCell);
    });
  });
  unroll<3>([&](auto tap) __attribute__((always_inline)) {
    unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
      constexpr int kColumn = j * 2 + tap;
      // x[2] is there since the first tap.
      if constexpr (kColumn > 0 && !(kColumns == 2 && tap == 2 && j == 0)) {
        interleave3<kWhole, kFlip>(r, column + kColumn, x[kColumn]);
      }
    });
    unroll<kParts64>([&](auto part) __attribute__((always_inline)) {
      const __m512i w = _mm512_load_si512(r.weight + (tap * kParts64 + part) * kCell);
      unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
        dpbusd(acc[j][part], x[j * 2 + tap][part], w);
      });
    });
  });
  unroll<kParts64>([&](auto part)
                       __attribute__((always_inline)) { x[0][part] = x[2 * kColumns][part]; });
  v.output64(constants + kParts64 * kCell, r.channels, acc, at);
}

template <class V, bool kWhole, bool kFlip>
[[gnu::noinline]] void strided_row(const V& v, const StridedRow& r) {
  __m512i x[5][kParts64];
  int64_t column = r.first, at = r.at, left = r.columns;
  interleave3<kWhole, kFlip>(r, column, x[0]);
  for (; left >= 2; left -= 2) {
    strided_tile<2, kWhole, kFlip>(v, r, column, at, x);
    column += 4;
    at += 2 * v.y_pixel();
  }
  if (left > 0) strided_tile<1, kWhole, kFlip>(v, r, column, at, x);
}

template <class V>
void arrange64(const Args& a, const Plan& p, int64_t group, uint8_t* to) {
  alignas(64) uint8_t unit[6 * kCell];
  for (int64_t u = 0; u < kParts64; ++u) {
    if (group * kParts64 + u < p.units) {
      arrange<V>(a, p, group * kParts64 + u, unit);
    } else {
      memset(unit, 0, sizeof(unit));
    }
    for (int64_t i = 0; i < 6 * kParts64; ++i) {
      memcpy(to + i * kCell + u * kUnit, unit + i * kUnit, kUnit);
    }
  }
}

template <class V>
void run_strided(const V& v, const Args& a, int64_t row_begin, int64_t row_end, uint8_t* scratch) {
  const Plan p = make_plan(a, V::kHeight);
  const int64_t groups = ceil_div(a.channels, kGroupChannels);
  for (int64_t g = 0; g < groups; ++g) arrange64<V>(a, p, g, scratch + g * kStridedWeight);
  StridedRow r = {.from = {},
                  .mask = {},
                  .step = a.channels,
                  .first = -a.pad_left,
                  .width = a.width,
                  .pad = _mm512_set1_epi8(static_cast<char>(a.pad_value ^ a.x_flip)),
                  .flip = _mm512_set1_epi8(static_cast<char>(a.x_flip)),
                  .weight = scratch,
                  .channels = 0,
                  .at = 0,
                  .columns = a.out_w};
  const bool slice_exists = a.first_slice >= 0 && a.first_slice < a.depth;
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t channel = g * kGroupChannels, exist = a.channels - channel;
      r.channels = exist >= kGroupChannels ? ~uint64_t{0} : (uint64_t{1} << exist) - 1;
      bool whole = exist >= kGroupChannels;
      for (int64_t i = 0; i < 3; ++i) {
        const int64_t x_row = row * 2 - a.pad_top + i;
        const bool exists = slice_exists && x_row >= 0 && x_row < a.height;
        r.from[i] = a.x;
        if (exists) {
          r.from[i] += (a.first_slice * a.height + x_row) * a.width * a.channels + channel;
        }
        r.mask[i] = exists ? r.channels : 0;
        whole = whole && exists;
      }
      r.weight = scratch + g * kStridedWeight;
      r.at = row * a.y_row + channel;
      if (a.x_flip != 0) {
        whole ? strided_row<V, true, true>(v, r) : strided_row<V, false, true>(v, r);
      } else {
        whole ? strided_row<V, true, false>(v, r) : strided_row<V, false, false>(v, r);
      }
    }
  }
}

}  // namespace
}  // namespace qnative::dwconv
