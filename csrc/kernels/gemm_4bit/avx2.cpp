#include "dot_avx2.h"
#include "fit.h"

namespace qnative::gemm_4bit {
namespace {

// vpmaddubsw does not saturate: four products of a nibble and an int8 fit in int16.
struct DotAvx2 : Base256 {
  static constexpr int kMaxRows = 2;
  [[gnu::always_inline]] static void dot(Ints& acc, Ints low, Ints high, Ints a, Ints b) {
    const Ints pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(low, a), _mm256_maddubs_epi16(high, b));
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace

void avx2(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  run_tiles<DotAvx2>(args, m_begin, m_end, n_begin, n_end);
}

void quantize_avx2(const float* x, const Layout& layout, const Rows& rows, int64_t i) {
  run_quantize<DotAvx2>(x, layout, rows, i);
}

void fit_avx2(const float* w, int64_t n, float peak, const float* scale, Fit& fit) {
  run_fit<RealAvx2>(w, n, peak, scale, fit);
}

}  // namespace qnative::gemm_4bit
