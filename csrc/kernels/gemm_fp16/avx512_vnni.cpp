#include <utility>

#include "body.h"
#include "simd/real_avx512.h"

namespace qnative::gemm_fp16 {
void avx512_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t block = block_rows(args);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block) {
    const int64_t m_next = m_end - m < block ? m_end : m + block;
    // Few rows leave registers for more columns, whose sums hide the latency of fma.
    const bool few_rows = m_next - m <= 2;
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t left = n_end - n;
      // Every panel of a tile must exist.
      const int64_t width = few_rows && left > 112 ? 128 : 64;
      const int64_t columns = left < width ? left : width;
      if (columns > 64) {
        sweep<RealAvx512, 2, 8>(args, m, m_next, n, columns);
      } else if (columns > 48) {
        sweep<RealAvx512, 6, 4>(args, m, m_next, n, columns);
      } else if (columns > 32) {
        sweep<RealAvx512, 8, 3>(args, m, m_next, n, columns);
      } else if (columns > 16) {
        sweep<RealAvx512, 12, 2>(args, m, m_next, n, columns);
      } else {
        sweep<RealAvx512, 14, 1>(args, m, m_next, n, columns);
      }
      n += columns;
    }
  }
}

void widen_avx512_vnni(const uint16_t* x, float* y, int64_t n) { run_widen<RealAvx512>(x, y, n); }

}  // namespace qnative::gemm_fp16
