#include "body.h"
#include "fit.h"
#include "simd/intrinsics_avx512.h"
#include "simd/real_avx512.h"

// What:     nibbles x int8 products by vpdpbusd: four k of 16 columns per instruction.
// Limits:   few rows: reading the weights once. Many rows: 32 registers; a tile needs a sum and a
//           float for each of its rows and vectors.
// Strategy: codes with 8 added are the unsigned operand, so that a mask and a shift unpack them.
//           They are unpacked in registers, once for all rows of a tile.
namespace qnative::gemm_4bit {
namespace {

struct Dot512 {
  using Real = RealAvx512;
  static constexpr int kRegisters = 32;
  using Ints = __m512i;
  static Ints set(int32_t v) { return _mm512_set1_epi32(v); }
  static Ints load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static Ints low(Ints v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
  static Ints high(Ints v) { return low(_mm512_srli_epi16(v, 4)); }
  static Ints broadcast(const int8_t* p) {
    int32_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return _mm512_set1_epi32(bytes);
  }
  [[gnu::always_inline]] static void dot(Ints& acc, Ints low, Ints high, Ints a, Ints b) {
    dpbusd(acc, low, a);
    dpbusd(acc, high, b);
  }
  static Real::F to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
  static Real::F load_scales(const uint8_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Ints round(Real::F x) { return _mm512_cvtps_epi32(x); }
  static Ints magnitude(Real::F x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
  }
  static Ints larger(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static int32_t fold_max(Ints v) {
    __m256i half = _mm256_max_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0b01001110));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0b10110001)));
  }
  static int32_t fold_sum(Ints v) { return _mm512_reduce_add_epi32(v); }
  static void store_bytes(int8_t* p, Ints v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
  }
};

}  // namespace

void avx512_vnni(const Args& args, int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end) {
  const int64_t block = block_rows(args.layout);
  n_end = n_end < args.n ? n_end : args.n;
  for (int64_t m = m_begin; m < m_end; m += block) {
    const int64_t m_next = m_end - m < block ? m_end : m + block;
    const bool is_row = m_next - m == 1;
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t left = n_end - n;
      // Every panel of a tile must exist.
      const int64_t width = is_row && left > 48 ? 64 : 32;
      const int64_t columns = left < width ? left : width;
      if (columns > 32) {
        sweep<Dot512, 1, 4>(args, m, m_next, n, columns);
      } else if (columns > 16) {
        sweep<Dot512, 6, 2>(args, m, m_next, n, columns);
      } else {
        sweep<Dot512, 12, 1>(args, m, m_next, n, columns);
      }
      n += columns;
    }
  }
}

void quantize_avx512_vnni(const float* x, const Layout& layout, const Rows& rows, int64_t i) {
  run_quantize<Dot512>(x, layout, rows, i);
}

void fit_avx512_vnni(const float* w, int64_t n, float peak, const float* scale, Fit& fit) {
  run_fit<RealAvx512>(w, n, peak, scale, fit);
}

}  // namespace qnative::gemm_4bit
