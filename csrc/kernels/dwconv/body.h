#pragma once

#include <string.h>

#include "plan.h"
#include "simd/unroll.h"

// The loops, for every ISA. An ISA file gives a class V:
//
// clang-format off
//   V::Vector                 a register; a cell is kParts of them
//   V::kHeight                rows of a bundle
//   V::kFillUnits             units whose bundles are made together, 1 without interleave_units()
//   V::arrange(...)           writes the taps of a unit as [kParts][KW][shifts][bundles]
//                             [channels of a vector][kHeight]: place j of bundle i at shift s is
//                             row kHeight * i + j - s of the kernel, or 0
//   V::interleave(...)        writes columns of a bundle from kHeight rows
//   V::interleave_units(...)  the same for kFillUnits neighbouring units, `unit` bytes apart
//   V::pad(...)               writes columns of a bundle outside the image
//   V::load(from), V::multiply_add(acc, x, w), V::multiply_add_from<offset>(acc, x, w)
//   V(args).output(...)       from int32 to y
// clang-format on
namespace qnative::dwconv {
namespace {

// A row of a bundle: column i is the 16 bytes at from + i * stride.
struct Source {
  const uint8_t* from;
  int64_t stride;
};

template <class V>
constexpr int64_t kParts = kCell / static_cast<int64_t>(sizeof(typename V::Vector));

// A strip of one or two output rows, for the channels of one vector.
struct Strip {
  const Args* args;
  const uint8_t* ring;       // of the unit, at these channels
  int64_t slots, slot_size;  // slot_size in bytes
  int64_t first;             // first bundle, counted from the first output row
  const uint8_t* weight;     // taps, then a vector each of start, multiplier and bias
  int64_t channels;          // channels that exist
  int64_t at;                // element of y of the first output
  int64_t columns;           // outputs
};

// kRows x kColumns outputs, the first one at element `at` of y. from[i]: slot i of the ring,
// counted from the first bundle of the first row, at the first input column.
template <class V, int kKernel, int kStride, int kRows, int kColumns>
[[gnu::always_inline]] inline void tile(const V& v, const Strip& s,
                                        const uint8_t* const (&from)[kMaxFixedSlots], int64_t at,
                                        int64_t right, int64_t below) {
  using Vector = typename V::Vector;
  constexpr int kBundles = fixed_bundles(kKernel, kStride, V::kHeight);
  constexpr int kShifts = kStride == 1 ? 2 : 1;
  constexpr int kPitch = V::kHeight / 2;  // slots from a bundle of an output row to its next
  const uint8_t* constants = s.weight + kKernel * kShifts * kBundles * sizeof(Vector);
  Vector acc[kRows * kColumns];
  unroll<kRows * kColumns>([&](auto i)
                               __attribute__((always_inline)) { acc[i] = V::load(constants); });
  const auto weight = [&](int kw, int shift, int i) __attribute__((always_inline)) {
    return V::load(s.weight + ((kw * kShifts + shift) * kBundles + i) * sizeof(Vector));
  };
  unroll<kBundles>([&](auto i) __attribute__((always_inline)) {
    if constexpr (kStride == 1) {
      Vector x[kKernel + kColumns - 1];
      unroll<kKernel + kColumns - 1>([&](auto column) __attribute__((always_inline)) {
        x[column] = V::load(from[i * kPitch] + column * kCell);
        if constexpr (column >= kColumns - 1) {
          constexpr int kTap = column - (kColumns - 1);
          unroll<kRows>([&](auto row) __attribute__((always_inline)) {
            const Vector w = weight(kTap, row, i);
            unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
              V::multiply_add(acc[row * kColumns + j], x[kTap + j], w);
            });
          });
        }
      });
    } else {
      unroll<kKernel>([&](auto tap) __attribute__((always_inline)) {
        const Vector w = weight(tap, 0, i);
        unroll<kRows * kColumns>([&](auto j) __attribute__((always_inline)) {
          constexpr int64_t kOffset = (j % kColumns * kStride + tap) * kCell;
          V::template multiply_add_from<kOffset>(acc[j], from[i * kPitch + j / kColumns], w);
        });
      });
    }
  });
  v.template output<kColumns>(constants, s.channels, acc, at, right, below);
}

// Not inlined, to leave all registers to the tiles.
template <class V, int kKernel, int kStride, int kRows>
[[gnu::noinline]] void fixed(const V& v, const Strip& s) {
  constexpr int64_t kSlots = fixed_slots(kKernel, kStride, V::kHeight);
  const uint8_t* from[kMaxFixedSlots] = {};
  unroll<kSlots>([&](auto i) __attribute__((always_inline)) {
    from[i] = s.ring + (s.first + i) % kSlots * s.slot_size;
  });
  const int64_t right = s.args->y_pixel, below = s.args->y_row;
  int64_t at = s.at, left = s.columns;
  const auto tiles = [&](auto columns) __attribute__((always_inline)) {
    tile<V, kKernel, kStride, kRows, columns>(v, s, from, at, right, below);
    unroll<kSlots>([&](auto i) __attribute__((always_inline)) {
      from[i] += columns * kStride * kCell;
      asm("" : "+r"(from[i]));  // or g++ 12 makes a vector of the pointers
    });
    at += columns * right;
  };
  for (; left >= 4; left -= 4) tiles(std::integral_constant<int, 4>{});
  if (left & 2) tiles(std::integral_constant<int, 2>{});
  if (left & 1) tiles(std::integral_constant<int, 1>{});
}

template <class V, int kColumns>
[[gnu::always_inline]] inline void generic_tile(const V& v, const Strip& s, int64_t column) {
  const Args& a = *s.args;
  const int64_t step = a.stride_w * kCell;
  const uint8_t* w = s.weight;
  const uint8_t* constants = w + a.kernel_w * s.slots * sizeof(typename V::Vector);
  typename V::Vector acc[kColumns];
  unroll<kColumns>([&](auto j) __attribute__((always_inline)) { acc[j] = V::load(constants); });
  for (int64_t kw = 0; kw < a.kernel_w; ++kw) {
    const uint8_t* x = s.ring + column * step + kw * a.dilation_w * kCell;
    for (int64_t i = 0; i < s.slots; ++i) {
      const typename V::Vector taps = V::load(w);
      unroll<kColumns>([&](auto j) __attribute__((always_inline)) {
        V::template multiply_add_from<0>(acc[j], x + j * step, taps);
      });
      x += s.slot_size;
      w += sizeof(typename V::Vector);
    }
  }
  v.template output<kColumns>(constants, s.channels, acc, s.at + column * a.y_pixel, a.y_pixel, 0);
}

template <class V>
[[gnu::noinline]] void generic(const V& v, const Strip& s) {
  int64_t column = 0;
  for (; column + 4 <= s.columns; column += 4) generic_tile<V, 4>(v, s, column);
  for (; column < s.columns; ++column) generic_tile<V, 1>(v, s, column);
}

// The input columns of a strip: the first `before` and the last `after` are outside the image.
struct Columns {
  int64_t first;  // may be negative
  int64_t before, inside, after;
};

inline Columns input_columns(const Args& a, int64_t out_begin, int64_t out_columns) {
  Columns c;
  c.first = out_begin * a.stride_w - a.pad_left;
  const int64_t count = (out_columns - 1) * a.stride_w + (a.kernel_w - 1) * a.dilation_w + 1;
  c.before = smaller(larger(-c.first, 0), count);
  c.inside = larger(smaller(c.first + count, a.width) - (c.first + c.before), 0);
  c.after = count - c.before - c.inside;
  return c;
}

// One call.
template <class V>
struct Call {
  const Args* args;
  Plan plan;
  V vectors;
  uint8_t* scratch;
};

// Copies the row to `copy` if reading 16 bytes would reach past the end of x.
inline Source row_source(const Args& a, int64_t slice, int64_t row, const Columns& columns,
                         int64_t channel, const uint8_t* padding, uint8_t* copy) {
  if (slice < 0 || slice >= a.depth || row < 0 || row >= a.height || columns.inside == 0) {
    return {padding, 0};
  }
  const int64_t column = columns.first + columns.before;
  const int64_t begin = ((slice * a.height + row) * a.width + column) * a.channels + channel;
  const int64_t last = begin + (columns.inside - 1) * a.channels;
  if (last + kUnit <= a.depth * a.height * a.width * a.channels) return {a.x + begin, a.channels};
  const int64_t size = smaller(kUnit, a.channels - channel);
  for (int64_t i = 0; i < columns.inside; ++i) {
    memcpy(copy + i * kUnit, a.x + begin + i * a.channels, size);
  }
  return {copy, kUnit};
}

// Fills a slot of `units` units, 1 or kFillUnits. Fixed kernels: with the first kFilled of kHeight
// neighbouring rows of x from `row` on. Others (kFilled = 0): with the rows that kernel rows [tap,
// tap + kHeight) of a window at `row` read. All channels of several units exist.
template <class V, int64_t kFilled>
void fill(const Call<V>& call, const Columns& columns, int64_t channel, int64_t row, int64_t tap,
          int64_t units, uint8_t* slot) {
  const Args& a = *call.args;
  const uint8_t* padding = call.scratch + padding_offset(call.plan);
  uint8_t* copies = call.scratch + copies_offset(call.plan);
  Source rows[V::kHeight];
  for (int64_t i = 0; i < V::kHeight; ++i, ++tap) {
    uint8_t* copy = copies + i * call.plan.columns * kUnit;
    if (i < kFilled) {
      rows[i] = row_source(a, a.first_slice, row + i, columns, channel, padding, copy);
    } else if (kFilled == 0 && tap < kernel_rows(a)) {
      rows[i] = row_source(a, a.first_slice + tap / a.kernel_h * a.dilation_d,
                           row + tap % a.kernel_h * a.dilation_h, columns, channel, padding, copy);
    } else {
      rows[i] = {padding, 0};
    }
  }
  uint8_t* const inside = slot + columns.before * kCell;
  for (int64_t u = 0; u < units; ++u) {
    V::pad(a.pad_value, slot + u * call.plan.ring_size, columns.before);
    V::pad(a.pad_value, inside + u * call.plan.ring_size + columns.inside * kCell, columns.after);
  }
  if constexpr (V::kFillUnits > 1) {
    if (units > 1) {
      V::interleave_units(rows, a.x_flip, inside, call.plan.ring_size, columns.inside);
      return;
    }
  }
  V::interleave(rows, a.x_flip, inside, columns.inside);
}

// Computes two output rows of fixed kernels, or one, of a unit whose bundles are in place. Changes
// the strip in place: reading a copy wider than it was written would stall.
template <class V, int kKernel, int kStride>
void compute(const Call<V>& call, Strip& s, int64_t channel, bool two) {
  const Args& a = *call.args;
  constexpr int64_t kChannels = kUnit / kParts<V>;
  const int64_t end = smaller(channel + kUnit, a.channels);
  for (; channel < end; channel += kChannels) {
    s.channels = smaller(kChannels, a.channels - channel);
    if constexpr (kKernel == 0) {
      generic(call.vectors, s);
    } else if (two) {
      fixed<V, kKernel, kStride, 2>(call.vectors, s);
    } else {
      fixed<V, kKernel, kStride, 1>(call.vectors, s);
    }
    s.ring += sizeof(typename V::Vector);
    s.weight += call.plan.weight_size / kParts<V>;
    s.at += kChannels;
  }
}

// Rows [row_begin, row_end) of a strip of units [unit_begin, unit_end). kKernel 0: the generic
// loop.
template <class V, int kKernel, int kStride>
void run_strip(const Call<V>& call, int64_t unit_begin, int64_t unit_end, int64_t row_begin,
               int64_t row_end, int64_t out_begin, int64_t out_columns) {
  const Args& a = *call.args;
  const Plan& p = call.plan;
  const int64_t slots = kKernel != 0 ? fixed_slots(kKernel, kStride, V::kHeight) : p.slots;
  const int64_t slot_size = p.columns * kCell;
  // A single bundle of stride 2 does not use its last row.
  constexpr int64_t kRead = kKernel + (kStride == 1 ? 1 : 0);
  constexpr int64_t kFilled = kRead < V::kHeight ? kRead : V::kHeight;
  const Columns columns = input_columns(a, out_begin, out_columns);
  int64_t filled = 0;
  for (int64_t row = row_begin; row < row_end; row += kKernel != 0 ? 2 : 1) {
    const bool two = kKernel != 0 && row + 1 < row_end;
    const int64_t first = kKernel != 0 ? (row - row_begin) * kStride / 2 : 0;
    const int64_t end = first + slots - (kStride == 2 && !two ? 1 : 0);
    int64_t units_filled = unit_begin;
    for (int64_t u = unit_begin; u < unit_end; ++u) {
      const int64_t channel = u * kUnit;
      uint8_t* ring = call.scratch + ring_offset(p) + (u - unit_begin) * p.ring_size;
      if (u == units_filled) {
        const bool several =
            u + V::kFillUnits <= unit_end && channel + V::kFillUnits * kUnit <= a.channels;
        const int64_t units = several ? V::kFillUnits : 1;
        units_filled += units;
        for (int64_t i = kKernel != 0 ? filled : 0; i < end; ++i) {
          uint8_t* slot = ring + i % slots * slot_size;
          if constexpr (kKernel != 0) {
            fill<V, kFilled>(call, columns, channel, row_begin * kStride - a.pad_top + i * 2, 0,
                             units, slot);
          } else {
            fill<V, 0>(call, columns, channel, row * a.stride_h - a.pad_top, i * V::kHeight, units,
                       slot);
          }
        }
      }
      Strip strip = {.args = &a,
                     .ring = ring,
                     .slots = slots,
                     .slot_size = slot_size,
                     .first = first,
                     .weight = call.scratch + (u - unit_begin) * p.weight_size,
                     .channels = 0,
                     .at = row * a.y_row + out_begin * a.y_pixel + channel,
                     .columns = out_columns};
      compute<V, kKernel, kStride>(call, strip, channel, two);
    }
    filled = end;
  }
}

// Writes the weights of a unit as tiles read them.
template <class V>
void arrange(const Args& a, const Plan& p, int64_t unit, uint8_t* to) {
  constexpr int64_t kVector = sizeof(typename V::Vector);
  const int64_t part_size = p.weight_size / kParts<V>;
  V::arrange(a, p, a.weight + unit * kernel_rows(a) * ceil_div(a.kernel_w, 4) * kCell, to);
  for (int64_t part = 0; part < kParts<V>; ++part) {
    const int64_t channel = (unit * kParts<V> + part) * (kUnit / kParts<V>);
    uint8_t* constants = to + (part + 1) * part_size - 3 * kVector;
    memcpy(constants, a.start + channel, kVector);
    memcpy(constants + kVector, a.multiplier + channel, kVector);
    memcpy(constants + 2 * kVector, a.bias + channel, kVector);
  }
}

template <class V, int kKernel, int kStride>
void run_with(const Args& a, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  const Call<V> call = {&a, make_plan(a, V::kHeight), V(a), reinterpret_cast<uint8_t*>(scratch)};
  const Plan& p = call.plan;
  memset(call.scratch + padding_offset(p), a.pad_value ^ a.x_flip, kCell);
  for (int64_t unit = 0; unit < p.units; unit += p.group) {
    const int64_t unit_end = smaller(unit + p.group, p.units);
    for (int64_t u = unit; u < unit_end; ++u) {
      arrange<V>(a, p, u, call.scratch + (u - unit) * p.weight_size);
    }
    for (int64_t column = 0; column < a.out_w; column += p.strip) {
      run_strip<V, kKernel, kStride>(call, unit, unit_end, row_begin, row_end, column,
                                     smaller(p.strip, a.out_w - column));
    }
  }
}

template <class V>
void run(const Args& a, int64_t row_begin, int64_t row_end, std::byte* scratch) {
  if (!is_fixed(a)) return run_with<V, 0, 1>(a, row_begin, row_end, scratch);
  if (a.kernel_h == 3 && a.stride_h == 1) return run_with<V, 3, 1>(a, row_begin, row_end, scratch);
  if (a.kernel_h == 3) return run_with<V, 3, 2>(a, row_begin, row_end, scratch);
  if (a.stride_h == 1) return run_with<V, 5, 1>(a, row_begin, row_end, scratch);
  return run_with<V, 5, 2>(a, row_begin, row_end, scratch);
}

}  // namespace
}  // namespace qnative::dwconv
