#include "lookup.h"
#include "simd/lookup_avx512.h"

namespace qnative::lookup {

void avx512_vnni(const uint8_t* x, uint8_t* y, int64_t n, const uint8_t* table) {
  const Lookup512 f(table);
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) Avx512::store(y + i, f(Avx512::load(x + i)));
  if (i < n) Avx512::store(y + i, f(Avx512::load(x + i, n - i)), n - i);
}

}  // namespace qnative::lookup
