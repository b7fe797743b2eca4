#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace qnative::program {

// What this machine can do, measured once for each number of threads that torch uses.
class Limits {
 public:
  static std::shared_ptr<const Limits> get();

  // The least time of a node. operations: multiplications and additions of 8-bit products; bytes:
  // read and written.
  double least_us(double operations, int64_t bytes) const;

 private:
  explicit Limits(int threads);

  // Of the fastest large product of ops::linear.
  double operations_per_us_ = 0;
  // Of copies that read and write so many bytes together: the caches differ.
  struct Bandwidth {
    int64_t bytes;
    double bytes_per_us;
  };
  std::vector<Bandwidth> copies_;  // of growing size
};

}  // namespace qnative::program
