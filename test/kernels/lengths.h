#pragma once

#include <cstdint>
#include <vector>

namespace qnative::test {

// Lengths around every vector size and its multiples, and a long one.
inline std::vector<int64_t> lengths() {
  std::vector<int64_t> n;
  for (int64_t i = 0; i <= 70; ++i) n.push_back(i);
  for (int64_t i : {127, 128, 129, 255, 256, 257, 1000}) n.push_back(i);
  return n;
}

}  // namespace qnative::test
