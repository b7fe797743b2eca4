#include <immintrin.h>

#include <utility>

#include "body.h"
#include "simd/real_avx2.h"

namespace qnative::gemm_fp16 {
void avx2(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t block = block_rows(args);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block) {
    const int64_t m_next = m_end - m < block ? m_end : m + block;
    const int64_t rows = m_next - m;
    // Few rows leave registers for more columns, whose sums hide the latency of fma.
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t left = n_end - n;
      // Every panel of a tile must exist.
      const int64_t width = rows == 1 && left > 48 ? 64 : rows <= 3 ? 32 : 16;
      const int64_t columns = left < width ? left : width;
      if (columns > 32) {
        sweep<RealAvx2, 1, 8>(args, m, m_next, n, columns);
      } else if (columns > 16) {
        sweep<RealAvx2, 3, 4>(args, m, m_next, n, columns);
      } else {
        sweep<RealAvx2, 6, 2>(args, m, m_next, n, columns);
      }
      n += columns;
    }
  }
}

void widen_avx2(const uint16_t* x, float* y, int64_t n) { run_widen<RealAvx2>(x, y, n); }

}  // namespace qnative::gemm_fp16
