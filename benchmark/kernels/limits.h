#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "isa.h"

// Measured limits of this machine. Every kernel benchmark reports percent of a limit, since
// absolute times on shared machines mean little.
namespace qnative::limits {

// Operations (a multiplication or an addition of an 8-bit product) per second of one core: tdpbusd
// for amx_int8, vpdpbusd for avx512_vnni and avx_vnni, vpmaddwd + vpaddd (exact) for avx2, 0
// (unknown) for scalar.
double dot_product_peak(Isa isa);

// Bytes per second of one core over a working set of `bytes` bytes, which decides the cache that
// holds it. Copying counts bytes read and bytes written.
double read_bandwidth(int64_t bytes);
double copy_bandwidth(int64_t bytes);

// Runs the benchmark loop over `f`. Returns the seconds of the fastest call: other programs only
// make calls slower.
template <class F>
double fastest(benchmark::State& state, F&& f) {
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    benchmark::ClobberMemory();
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - begin).count());
  }
  return best;
}

// Counters "best_us", "ops/s", "%peak", "ops" and "bytes" of a call with `ops` operations that
// moves `bytes` bytes and took `seconds`.
void report_ops(benchmark::State& state, double seconds, double ops, double bytes, Isa isa);

// Counters "best_us", "bytes/s", "bytes" and "%read" or "%copy" of a call that moves `bytes` bytes,
// and "ops" of one that multiplies too.
void report_read(benchmark::State& state, double seconds, double bytes, double ops = 0);
void report_copy(benchmark::State& state, double seconds, double bytes, double ops = 0);

// Bytes for each element. Without any written ones the limit is reading, otherwise copying.
struct Traffic {
  double read, written;
};

// Registers <op>/<isa>/<n> for every size n: f(buffers, n) works on n elements.
template <class Buffers, class Sizes, class F>
void add(const std::string& op, Isa isa, const Sizes& sizes, Traffic traffic, F f) {
  if (!is_supported(isa)) return;
  for (int64_t n : sizes) {
    const std::string label = op + "/" + name(isa) + "/" + std::to_string(n);
    benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
      Buffers buffers(n);
      const double seconds = fastest(state, [&] { f(buffers, n); });
      const double bytes = (traffic.read + traffic.written) * static_cast<double>(n);
      traffic.written == 0 ? report_read(state, seconds, bytes)
                           : report_copy(state, seconds, bytes);
    });
  }
}

}  // namespace qnative::limits
