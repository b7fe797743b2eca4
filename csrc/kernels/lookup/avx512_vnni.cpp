#include "lookup.h"
#include "simd/avx512.h"

namespace qnative::lookup {

// vpermi2b looks 7 bits up in 128 bytes; the top bit chooses between two of them.
void avx512_vnni(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table) {
  const __m512i t0 = Avx512::load(table), t1 = Avx512::load(table + 64);
  const __m512i t2 = Avx512::load(table + 128), t3 = Avx512::load(table + 192);
  const auto f = [&](__m512i v) {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), _mm512_permutex2var_epi8(t0, v, t1),
                                  _mm512_permutex2var_epi8(t2, v, t3));
  };
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) Avx512::store(y + i, f(Avx512::load(x + i)));
  if (i < n) Avx512::store(y + i, f(Avx512::load(x + i, n - i)), n - i);
}

}  // namespace qnative::lookup
