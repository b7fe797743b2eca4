#pragma once

// One lane, with those verbs of simd/avx2.h that functions of floats are written in.

#include <stdint.h>
#include <string.h>

namespace qnative {
namespace {

struct Scalar {
  static constexpr int kBytes = 1;
  using Floats = float;

  static Floats load(const float* p) { return *p; }
  static Floats load(const float* p, int64_t) { return *p; }
  static void store(float* p, Floats x) { *p = x; }
  static void store(float* p, Floats x, int64_t) { *p = x; }
  static Floats floats(float x) { return x; }
  static Floats add(Floats x, Floats y) { return x + y; }
  static Floats sub(Floats x, Floats y) { return x - y; }
  static Floats mul(Floats x, Floats y) { return x * y; }
  static Floats div(Floats x, Floats y) { return x / y; }
  static Floats fma(Floats x, Floats y, Floats z) { return __builtin_fmaf(x, y, z); }
  static Floats min(Floats x, Floats y) { return x < y ? x : y; }
  static Floats max(Floats x, Floats y) { return x > y ? x : y; }
  static Floats power_of_two(Floats x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    bits = (bits << 23) + 0x3f800000;
    memcpy(&x, &bits, sizeof(bits));
    return x;
  }
};

}  // namespace
}  // namespace qnative
