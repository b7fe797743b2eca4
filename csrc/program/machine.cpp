#include "machine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>

#include "qnative/ops/linear.h"

namespace qnative::program {
namespace {

// Microseconds of the fastest call of f in some milliseconds.
template <class F>
double fastest_us(const F& f) {
  using Clock = std::chrono::steady_clock;
  f();  // warms up
  double least = std::numeric_limits<double>::infinity();
  const auto end = Clock::now() + std::chrono::milliseconds(10);
  auto start = Clock::now();
  do {
    f();
    const auto now = Clock::now();
    least = std::min(least, std::chrono::duration<double, std::micro>(now - start).count());
    start = now;
  } while (start < end);
  return least;
}

double measure_products(int threads) {
  constexpr int64_t kN = 512, kK = 512;
  const int64_t m = int64_t{96} * threads;
  const QTensor x{at::randint(0, 256, {m, kK}, at::kByte), {.scale = 0.1, .zero_point = 128}};
  const PackedWeight w{ops::linear_pack(at::randint(-128, 128, {kN, kK}, at::kChar)),
                       at::full({kN}, 0.01), std::nullopt, IntList{kN, kK}};
  const OutputSpec y{.qparams = {20, 128}};
  return 2.0 * static_cast<double>(m * kN * kK) / fastest_us([&] { ops::linear(x, w, y); });
}

// A copy of `bytes`, read and written together, by all threads.
double measure_copy(int threads, int64_t bytes) {
  const int64_t half = bytes / 2, part = half / threads;
  const std::vector<char> from(static_cast<size_t>(half), 1);
  std::vector<char> to(static_cast<size_t>(half), 2);
  // Small ones many times, so that the clock's resolution does not matter.
  const int64_t repeats = std::max<int64_t>(1, (int64_t{1} << 20) / bytes);
  const double us = fastest_us([&] {
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < repeats; ++i) {
        std::memcpy(to.data() + begin * part, from.data() + begin * part,
                    static_cast<size_t>((end - begin) * part));
        asm volatile("" ::: "memory");
      }
    });
  });
  return static_cast<double>(bytes * repeats) / us;
}

}  // namespace

Limits::Limits(int threads) : operations_per_us_(measure_products(threads)) {
  for (const int64_t kilobytes : {16, 256, 2048, 16384, 131072}) {
    const int64_t bytes = kilobytes * 1024;
    copies_.push_back({bytes, measure_copy(threads, bytes)});
  }
}

std::shared_ptr<const Limits> Limits::get() {
  static std::mutex mutex;
  static std::map<int, std::shared_ptr<const Limits>> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const int threads = at::get_num_threads();
  std::shared_ptr<const Limits>& limits = known[threads];
  if (limits == nullptr) limits.reset(new Limits(threads));
  return limits;
}

double Limits::least_us(double operations, int64_t bytes) const {
  const auto copy = std::find_if(copies_.begin(), copies_.end(),
                                 [&](const Bandwidth& each) { return bytes <= each.bytes; });
  const Bandwidth& bandwidth = copy == copies_.end() ? copies_.back() : *copy;
  return std::max(operations / operations_per_us_,
                  static_cast<double>(bytes) / bandwidth.bytes_per_us);
}

}  // namespace qnative::program
