#include "dot_avx2.h"
#include "simd/dpbusd_avx2.h"

namespace qnative::gemm_4bit {
namespace {

struct DotVnni256 : Base256 {
  static constexpr int kMaxRows = 3;
  [[gnu::always_inline]] static void dot(Ints& acc, Ints low, Ints high, Ints a, Ints b) {
    dpbusd(acc, low, a);
    dpbusd(acc, high, b);
  }
};

}  // namespace

void avx_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  run_tiles<DotVnni256>(args, m_begin, m_end, n_begin, n_end);
}

}  // namespace qnative::gemm_4bit
