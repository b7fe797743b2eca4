#include "simd/avx2.h"

#include "lookup.h"

namespace qnative::lookup {
namespace {

__m256i sixteen(const uint8_t* table) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}

// vpshufb looks up 4 bits in 16 bytes and gives 0 if the top bit of the index is set. index_j
// clears that bit only where bits 4 and 5 of the value are j, so that or-ing four lookups gives a
// lookup of 6 bits; two levels of blends add bits 6 and 7. On Zen 3: 2.7 times the speed of one
// load per byte, 1.2 times that of the usual chain of xors of differences.
__m256i lookup(__m256i v, const uint8_t* table) {
  const __m256i low6 = _mm256_and_si256(v, _mm256_set1_epi8(0x3f));
  const auto index = [&](char j) {
    return _mm256_add_epi8(_mm256_xor_si256(low6, _mm256_set1_epi8(j << 4)),
                           _mm256_set1_epi8(0x70));
  };
  const __m256i index0 = index(0), index1 = index(1), index2 = index(2), index3 = index(3);
  const auto lookup6 = [&](const uint8_t* t) {
    return _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(sixteen(t), index0),
                                           _mm256_shuffle_epi8(sixteen(t + 16), index1)),
                           _mm256_or_si256(_mm256_shuffle_epi8(sixteen(t + 32), index2),
                                           _mm256_shuffle_epi8(sixteen(t + 48), index3)));
  };
  const __m256i bit6 = _mm256_slli_epi16(v, 1);
  return _mm256_blendv_epi8(_mm256_blendv_epi8(lookup6(table), lookup6(table + 64), bit6),
                            _mm256_blendv_epi8(lookup6(table + 128), lookup6(table + 192), bit6),
                            v);
}

}  // namespace

void avx2(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) Avx2::store(y + i, lookup(Avx2::load(x + i), table));
  if (i < n) Avx2::store(y + i, lookup(Avx2::load(x + i, n - i), table), n - i);
}

}  // namespace qnative::lookup
