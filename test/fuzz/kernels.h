#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "isa.h"
#include "kernels/common.h"
#include "requantize.h"

// Random cases of the kernels: every ISA against scalar.
namespace qnative::fuzz {

using test::Guarded;
using test::PageGuarded;
using test::Random;

inline double number(const char* variable, double otherwise) {
  const char* const value = std::getenv(variable);
  return value == nullptr ? otherwise : std::atof(value);
}

// Runs cases with the seeds QNATIVE_FUZZ_SEED, + 1, ... for QNATIVE_FUZZ_SECONDS, until one fails.
template <class Case>
void run_cases(const Case& run) {
  const auto first = static_cast<uint64_t>(number("QNATIVE_FUZZ_SEED", 1));
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration<double>(number("QNATIVE_FUZZ_SECONDS", 0.5));
  uint64_t seed = first;
  for (; std::chrono::steady_clock::now() < end; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    run(random, seed);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu cases\n", static_cast<unsigned long long>(seed - first));
}

// Often around multiples of vector sizes.
inline int64_t length(Random& random, int64_t max = 300) {
  switch (random.uniform(0, 3)) {
    case 0:
      return random.uniform<int64_t>(0, 4);
    case 1:
      return std::min<int64_t>(max, 16 * random.uniform<int64_t>(0, 9) + random.uniform(0, 2));
    case 2:
      return std::min<int64_t>(max, 64 * random.uniform<int64_t>(0, 4) + random.uniform(0, 1));
    default:
      return random.uniform<int64_t>(0, max);
  }
}

// Ordinary numbers of one magnitude; some calls have zeros, ties, extremes, infinities and NaN.
inline std::vector<float> floats(Random& random, int64_t n, bool finite = false) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kSpecial[] = {0.0f,   -0.0f, 0.5f,  -0.5f,  1.5f, 2.5f,  -127.5f,       255.5f,
                                1e-40f, 3e38f, -3e38, 2.2e9f, kInf, -kInf, std::nanf(""), -1e-45f};
  const float size = std::exp2(static_cast<float>(random.uniform(-12, 12)));
  const int rate = random.uniform(0, 3);
  std::vector<float> values(n);
  for (float& value : values) {
    value = random.uniform(-size, size);
    if (rate == 0 && random.uniform(0, 7) == 0) {
      const float special = kSpecial[random.uniform(0, 15)];
      if (!finite || std::isfinite(special)) value = special;
    }
  }
  return values;
}

inline Requantize requantization(Random& random) {
  const int lo = random.uniform(0, 3) == 0 ? random.uniform(0, 255) : 0;
  return {.zero_point = random.uniform(0, 255),
          .lo = lo,
          .hi = random.uniform(0, 3) == 0 ? random.uniform(lo, 255) : 255,
          .flip = static_cast<uint8_t>(0x80 * random.uniform(0, 1))};
}

// A copy of values that ends, or begins, at an unreadable page.
template <class T>
PageGuarded<T> guarded(Random& random, const std::vector<T>& values) {
  using Side = PageGuarded<T>::Side;
  return PageGuarded<T>(values, random.uniform(0, 1) == 0 ? Side::kBefore : Side::kAfter);
}

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) && std::isnan(b)) return true;
  }
  return memcmp(&a, &b, sizeof(T)) == 0;
}

// call(kernel, y): runs a kernel that writes up to `size` elements of y.
template <class T, class Fn, class Call>
void expect_equal(std::span<const Kernel<Fn>> kernels, int64_t size, const Call& call) {
  Guarded<T> expected(size);
  call(*kernels.back().run, expected.data());
  for (const Kernel<Fn>& kernel : test::runnable(kernels)) {
    if (kernel.run == kernels.back().run) continue;
    Guarded<T> y(size, size % 5);
    call(*kernel.run, y.data());
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_TRUE(same(y.data()[i], expected.data()[i]))
          << name(kernel.isa) << ": element " << i << " of " << size << " is " << +y.data()[i]
          << ", scalar " << +expected.data()[i];
    }
    ASSERT_TRUE(y.intact()) << name(kernel.isa) << " writes outside of y";
  }
}

}  // namespace qnative::fuzz
