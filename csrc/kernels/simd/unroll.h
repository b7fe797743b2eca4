#pragma once

#include <utility>

namespace qnative {
namespace {

// Calls f(0), f(1), ... f(kCount - 1) with std::integral_constant arguments, so that an array that
// they index stays in registers. A lambda passed here must be always_inline.
template <int kCount, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, kIndex>{}), ...);
  }(std::make_integer_sequence<int, kCount>{});
}

}  // namespace
}  // namespace qnative
