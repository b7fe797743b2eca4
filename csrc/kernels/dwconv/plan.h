#pragma once

#include "blocks.h"
#include "dwconv.h"

// How the vector kernels cut a call into pieces that stay in the L2 cache, and the layout of their
// scratch, which scratch_size() and the ISA files share.
//
// Input rows are copied, padded, into bundles: `height` neighbouring rows interleaved channel by
// channel, so that one multiply-add instruction takes `height` taps of a channel, whatever the
// stride and dilation of the columns. A unit is 16 channels. A cell, one column of one bundle of
// one unit, is 64 bytes on every ISA: 2 rows of int16 or 4 rows of uint8. Bundles are kept in a
// ring of slots.
namespace qnative::dwconv {
namespace {

constexpr int64_t kUnit = 16;  // channels
constexpr int64_t kCell = 64;  // bytes of one column of one bundle of one unit
constexpr int64_t kMaxFixedSlots = 4;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Rows of the kernel, over all its slices.
inline int64_t kernel_rows(const Args& a) { return a.kernel_d * a.kernel_h; }

// Fixed kernels (3x3 and 5x5) are unrolled and compute two output rows at a time from bundles that
// begin at every second input row; others compute one output row from bundles made for it.
//   stride 1: both rows read the same bundles, the second row with weights shifted by one row
//   stride 2: the second row reads the bundles one slot further
inline bool is_fixed(const Args& a) {
  return a.kernel_d == 1 && a.kernel_h == a.kernel_w && (a.kernel_h == 3 || a.kernel_h == 5) &&
         a.stride_h == a.stride_w && (a.stride_h == 1 || a.stride_h == 2) && a.dilation_h == 1 &&
         a.dilation_w == 1;
}

constexpr int64_t fixed_bundles(int64_t kernel, int64_t stride, int64_t height) {
  return (kernel + (stride == 1 ? 1 : 0) + height - 1) / height;
}

constexpr int64_t fixed_slots(int64_t kernel, int64_t stride, int64_t height) {
  return (fixed_bundles(kernel, stride, height) - 1) * (height / 2) + stride;
}

// AVX-512 computes some fixed kernels without bundles in memory, 64 channels at a time
// (strided_avx512.h). A group must be more than half full to pay.
constexpr int64_t kGroupChannels = 64;
constexpr int64_t kStridedWeight = 24 * kCell;  // bytes of scratch for a group

inline bool is_strided(const Args& a) {
  return is_fixed(a) && a.kernel_h == 3 && a.stride_h == 2 && a.channels > kGroupChannels / 2;
}

inline int64_t strided_size(const Args& a) {
  return is_strided(a) ? ceil_div(a.channels, kGroupChannels) * kStridedWeight : 0;
}

struct Plan {
  int64_t height;   // rows of a bundle
  int64_t bundles;  // read by an output row
  int64_t slots;
  int64_t shifts;       // arrangements of the weights
  int64_t units;        // the last one may be partial
  int64_t group;        // units whose weights and rings are in scratch together
  int64_t strip;        // output columns computed together
  int64_t columns;      // input columns of a strip
  int64_t weight_size;  // bytes of scratch for the taps, start, multiplier and bias of a unit
  int64_t ring_size;    // bytes of scratch for the ring of a unit
};

constexpr int64_t kCacheBytes = 64 * 1024;

inline Plan make_plan(const Args& a, int64_t height) {
  const bool fixed = is_fixed(a);
  Plan p;
  p.height = height;
  p.bundles =
      fixed ? fixed_bundles(a.kernel_h, a.stride_h, height) : ceil_div(kernel_rows(a), height);
  p.slots = fixed ? fixed_slots(a.kernel_h, a.stride_h, height) : p.bundles;
  p.shifts = fixed && a.stride_h == 1 ? 2 : 1;
  p.units = ceil_div(a.channels, kUnit);
  p.weight_size = (a.kernel_w * p.shifts * p.bundles + 3) * kCell;

  // Four units of a column are one cache line of x.
  const int64_t extent = (a.kernel_w - 1) * a.dilation_w + 1;
  const int64_t fitting = kCacheBytes / (p.slots * kCell * larger(smaller(p.units, 4), 1));
  const int64_t strip = larger((fitting - extent) / a.stride_w, ceil_div(extent, a.stride_w));
  p.strip = larger(smaller(larger(strip, 8), a.out_w), 1);
  p.columns = (p.strip - 1) * a.stride_w + extent;
  p.ring_size = p.slots * p.columns * kCell;
  p.group = larger(smaller(kCacheBytes / (p.ring_size + p.weight_size), p.units), 1);
  return p;
}

// Scratch: weights and rings of the group, one pixel of padding, copies of rows whose vectors would
// reach past the end of x.
inline int64_t ring_offset(const Plan& p) { return p.group * p.weight_size; }
inline int64_t padding_offset(const Plan& p) { return ring_offset(p) + p.group * p.ring_size; }
inline int64_t copies_offset(const Plan& p) { return padding_offset(p) + kCell; }
inline int64_t total_size(const Plan& p) { return copies_offset(p) + p.height * p.columns * kUnit; }

}  // namespace
}  // namespace qnative::dwconv
