#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <type_traits>
#include <vector>

#include "isa.h"

// Shared by the tests of all kernel families.
namespace qnative::test {

// The rows of a kernel table that this machine supports and QNATIVE_ISA allows, scalar last.
template <class Fn>
std::vector<Kernel<Fn>> runnable(std::span<const Kernel<Fn>> kernels) {
  std::vector<Kernel<Fn>> rows;
  const Isa cap = isa_cap().value();
  for (const Kernel<Fn>& kernel : kernels) {
    if (kernel.isa <= cap && is_supported(kernel.isa)) rows.push_back(kernel);
  }
  return rows;
}

// Repeatable random data.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // Uniform over [lo, hi], both ends included.
  template <class T>
  T uniform(T lo, T hi) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::uniform_real_distribution<T>(lo, hi)(engine_);
    } else {
      return static_cast<T>(std::uniform_int_distribution<int64_t>(lo, hi)(engine_));
    }
  }

  template <class T>
  std::vector<T> vector(int64_t size, T lo, T hi) {
    std::vector<T> values(size);
    for (T& value : values) value = uniform(lo, hi);
    return values;
  }

  // Over the whole range of an integer type; one value in eight is its minimum or maximum.
  template <class T>
  std::vector<T> full_range(int64_t size) {
    constexpr T lo = std::numeric_limits<T>::min(), hi = std::numeric_limits<T>::max();
    std::vector<T> values(size);
    for (T& value : values) {
      const uint64_t bits = engine_();
      value = bits % 8 == 0 ? (bits & 8 ? lo : hi) : static_cast<T>(bits >> 8);
    }
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

// A copy of `values` beside an unreadable page: one byte read past `slack` elements after the last
// one (or before the first one, with Side::kBefore) crashes. The slack holds 0xa5.
template <class T>
class PageGuarded {
 public:
  enum class Side { kBefore, kAfter };

  PageGuarded(std::span<const T> values, Side side, int64_t slack = 0) : size_(values.size()) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t bytes = (size_ + slack) * sizeof(T);
    const int64_t inner = (bytes + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
      std::abort();
    }
    memset(base_ + page, 0xa5, inner);
    std::byte* at =
        side == Side::kBefore ? base_ + page + slack * sizeof(T) : base_ + page + inner - bytes;
    data_ = reinterpret_cast<T*>(at);
    if (size_ > 0) memcpy(data_, values.data(), size_ * sizeof(T));
  }
  ~PageGuarded() { munmap(base_, mapped_); }
  PageGuarded(const PageGuarded&) = delete;
  PageGuarded& operator=(const PageGuarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  int64_t size_;
  int64_t mapped_;
  std::byte* base_;
  T* data_;
};

// An output of `size` elements between two bands of poison. `misalign` moves the first element away
// from a 64-byte boundary, by elements.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t size, int64_t misalign = 0)
      : size_(size), storage_(size * sizeof(T) + 2 * kBand + 64 + misalign * sizeof(T)) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data()) + kBand;
    data_ = reinterpret_cast<T*>((address + 63) / 64 * 64) + misalign;
    poison();
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // Also the elements, so that the tests see one that the kernel does not write.
  void poison() { memset(storage_.data(), kPoison, storage_.size()); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  std::span<const T> values() const { return {data_, static_cast<size_t>(size_)}; }

  // Whether no byte around the elements was written.
  bool intact() const {
    const auto* begin = reinterpret_cast<const uint8_t*>(data_);
    const auto* end = reinterpret_cast<const uint8_t*>(data_ + size_);
    for (const uint8_t& byte : storage_) {
      if ((&byte < begin || &byte >= end) && byte != kPoison) return false;
    }
    return true;
  }

  static constexpr uint8_t kPoison = 0xcd;

 private:
  static constexpr int64_t kBand = 192;
  int64_t size_;
  std::vector<uint8_t> storage_;
  T* data_;
};

// 64-byte aligned memory for the scratch argument of a kernel, with bands around it.
using Scratch = Guarded<std::byte>;

// Equality of bits, so that NaNs compare and -0 is not 0; names the first difference.
template <class T>
testing::AssertionResult same_bits(std::span<const T> actual, std::span<const T> expected) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " elements, not " << expected.size();
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (memcmp(&actual[i], &expected[i], sizeof(T)) != 0) {
      return testing::AssertionFailure()
             << "element " << i << " is " << +actual[i] << ", expected " << +expected[i];
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace qnative::test
