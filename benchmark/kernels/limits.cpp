#include "limits.h"

#include <bit>
#include <cstring>
#include <map>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>

#include "simd/tiles.h"
#endif

namespace qnative::limits {
namespace {

constexpr int kRounds = 40;

template <class F>
double fastest_of_rounds(F&& f) {
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - begin).count());
  }
  return best;
}

#if defined(__x86_64__)

constexpr int64_t kRepeats = 20000;
constexpr int kChains = 12;  // more than latency x throughput on every CPU so far

// The volatile asm keeps the compiler from removing unused results.
[[gnu::target("avx512f,avx512vnni")]] void run_vpdpbusd() {
  const __m512i x = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < kRepeats; ++i) {
    asm volatile(
        "vpdpbusd %0, %0, %%zmm4\n vpdpbusd %0, %0, %%zmm5\n vpdpbusd %0, %0, %%zmm6\n"
        "vpdpbusd %0, %0, %%zmm7\n vpdpbusd %0, %0, %%zmm8\n vpdpbusd %0, %0, %%zmm9\n"
        "vpdpbusd %0, %0, %%zmm10\n vpdpbusd %0, %0, %%zmm11\n vpdpbusd %0, %0, %%zmm12\n"
        "vpdpbusd %0, %0, %%zmm13\n vpdpbusd %0, %0, %%zmm14\n vpdpbusd %0, %0, %%zmm15\n"
        :
        : "v"(x)
        : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
          "xmm14", "xmm15");
  }
}

// Four sums, two tiles of x and two of weights, all of full size: they keep the unit busy.
[[gnu::target("avx512f,amx-tile,amx-int8")]] void run_tdpbusd() {
  configure_tiles(kTileRows, kTileRows);
  for (int64_t i = 0; i < kRepeats; ++i) {
    multiply_tiles<0, 4, 6>();
    multiply_tiles<1, 4, 7>();
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 7>();
  }
  release_tiles();
}

[[gnu::target("avx2")]] void run_vpdpbusd_avx() {
  const __m256i x = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < kRepeats; ++i) {
    asm volatile(
        "%{vex%} vpdpbusd %0, %0, %%ymm4\n %{vex%} vpdpbusd %0, %0, %%ymm5\n"
        "%{vex%} vpdpbusd %0, %0, %%ymm6\n %{vex%} vpdpbusd %0, %0, %%ymm7\n"
        "%{vex%} vpdpbusd %0, %0, %%ymm8\n %{vex%} vpdpbusd %0, %0, %%ymm9\n"
        "%{vex%} vpdpbusd %0, %0, %%ymm10\n %{vex%} vpdpbusd %0, %0, %%ymm11\n"
        "%{vex%} vpdpbusd %0, %0, %%ymm12\n %{vex%} vpdpbusd %0, %0, %%ymm13\n"
        "%{vex%} vpdpbusd %0, %0, %%ymm14\n %{vex%} vpdpbusd %0, %0, %%ymm15\n"
        :
        : "x"(x)
        : "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
          "xmm14", "xmm15");
  }
}

[[gnu::target("avx2")]] void run_vpmaddwd() {
  const __m256i x = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < kRepeats; ++i) {
    asm volatile(
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm4, %%ymm4\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm5, %%ymm5\n"
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm6, %%ymm6\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm7, %%ymm7\n"
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm8, %%ymm8\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm9, %%ymm9\n"
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm10, %%ymm10\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm11, %%ymm11\n"
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm12, %%ymm12\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm13, %%ymm13\n"
        "vpmaddwd %0, %0, %%ymm2\n vpaddd %%ymm2, %%ymm14, %%ymm14\n"
        "vpmaddwd %0, %0, %%ymm3\n vpaddd %%ymm3, %%ymm15, %%ymm15\n"
        :
        : "x"(x)
        : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
          "xmm13", "xmm14", "xmm15");
  }
}

double measure_dot_product_peak(Isa isa) {
  if (!is_supported(isa)) return 0;
  if (isa == Isa::kAmxInt8) {
    return kRepeats * kSumTiles * (16 * 16 * 64) * 2.0 / fastest_of_rounds(run_tdpbusd);
  }
  if (isa == Isa::kAvx512Vnni) {
    return kRepeats * kChains * 64 * 2.0 / fastest_of_rounds(run_vpdpbusd);
  }
  if (isa == Isa::kAvxVnni) {
    return kRepeats * kChains * 32 * 2.0 / fastest_of_rounds(run_vpdpbusd_avx);
  }
  if (isa == Isa::kAvx2) return kRepeats * kChains * 16 * 2.0 / fastest_of_rounds(run_vpmaddwd);
  return 0;
}

[[gnu::target("avx2")]] void read_all(const uint8_t* from, int64_t bytes) {
  for (int64_t i = 0; i + 128 <= bytes; i += 128) {
    asm volatile(
        "vmovdqu (%0), %%ymm0\n vmovdqu 32(%0), %%ymm1\n vmovdqu 64(%0), %%ymm2\n"
        "vmovdqu 96(%0), %%ymm3\n"
        :
        : "r"(from + i)
        : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
  }
}

#else

double measure_dot_product_peak(Isa) { return 0; }

void read_all(const uint8_t* from, int64_t bytes) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes; ++i) sum += from[i];
  benchmark::DoNotOptimize(sum);
}

#endif

// Enough passes over the working set that the clock's resolution does not matter.
int64_t passes(int64_t bytes) { return std::max<int64_t>(1, (4 << 20) / bytes); }

double measure_read(int64_t bytes) {
  const std::vector<uint8_t> data(bytes, 1);
  const int64_t count = passes(bytes);
  const double seconds = fastest_of_rounds([&] {
    for (int64_t i = 0; i < count; ++i) read_all(data.data(), bytes);
  });
  return static_cast<double>(count * bytes) / seconds;
}

double measure_copy(int64_t bytes) {
  // The target a multiple of a page after the source: on Zen 3 memcpy (rep movsb) has a twentieth
  // of its speed when, modulo 4096, the target lies a few bytes after the source.
  const int64_t half = bytes / 2, distance = std::max<int64_t>(half, 4096);
  std::vector<uint8_t> data(distance + half, 1);
  const int64_t count = passes(bytes);
  const double seconds = fastest_of_rounds([&] {
    for (int64_t i = 0; i < count; ++i) {
      memcpy(data.data() + distance, data.data(), half);
      benchmark::ClobberMemory();
    }
  });
  return static_cast<double>(count * bytes) / seconds;
}

// Measured once for each power of two of the working set.
template <class Measure>
double remembered(std::map<int64_t, double>& known, int64_t bytes, Measure measure) {
  const auto size = static_cast<uint64_t>(std::clamp<int64_t>(bytes, 4 << 10, 64 << 20));
  const auto rounded = static_cast<int64_t>(std::bit_floor(size));
  const auto [entry, is_new] = known.try_emplace(rounded, 0.0);
  if (is_new) entry->second = measure(rounded);
  return entry->second;
}

void report(benchmark::State& state, double seconds, const char* rate, double amount,
            const char* share, double limit) {
  state.counters["best_us"] = seconds * 1e6;
  state.counters[rate] = amount / seconds;
  if (limit > 0) state.counters[share] = 100 * amount / seconds / limit;
}

// Data of the roofline plot.
void count(benchmark::State& state, double ops, double bytes) {
  if (ops > 0) state.counters["ops"] = ops;
  state.counters["bytes"] = bytes;
}

}  // namespace

double dot_product_peak(Isa isa) {
  static std::map<Isa, double> known;
  const auto [entry, is_new] = known.try_emplace(isa, 0.0);
  if (is_new) entry->second = measure_dot_product_peak(isa);
  return entry->second;
}

double read_bandwidth(int64_t bytes) {
  static std::map<int64_t, double> known;
  return remembered(known, bytes, measure_read);
}

double copy_bandwidth(int64_t bytes) {
  static std::map<int64_t, double> known;
  return remembered(known, bytes, measure_copy);
}

void report_ops(benchmark::State& state, double seconds, double ops, double bytes, Isa isa) {
  report(state, seconds, "ops/s", ops, "%peak", dot_product_peak(isa));
  count(state, ops, bytes);
}

void report_read(benchmark::State& state, double seconds, double bytes, double ops) {
  report(state, seconds, "bytes/s", bytes, "%read", read_bandwidth(static_cast<int64_t>(bytes)));
  count(state, ops, bytes);
}

void report_copy(benchmark::State& state, double seconds, double bytes, double ops) {
  report(state, seconds, "bytes/s", bytes, "%copy", copy_bandwidth(static_cast<int64_t>(bytes)));
  count(state, ops, bytes);
}

}  // namespace qnative::limits
