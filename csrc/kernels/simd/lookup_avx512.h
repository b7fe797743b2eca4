#pragma once

#include "simd/avx512.h"

namespace qnative {
namespace {

// 64 lookups in a table of 256 bytes: vpermi2b looks up 7 bits in 128 bytes, and the top bit
// selects one of two.
class Lookup512 {
 public:
  explicit Lookup512(const uint8_t* table)
      : t0_(Avx512::load(table)),
        t1_(Avx512::load(table + 64)),
        t2_(Avx512::load(table + 128)),
        t3_(Avx512::load(table + 192)) {}

  __m512i operator()(__m512i v) const {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), _mm512_permutex2var_epi8(t0_, v, t1_),
                                  _mm512_permutex2var_epi8(t2_, v, t3_));
  }

 private:
  __m512i t0_, t1_, t2_, t3_;
};

}  // namespace
}  // namespace qnative
