#include <cmath>

#include "elementwise.h"
#include "words.h"

namespace qnative::elementwise {
namespace {

// y[i] = requantize(f(a - a_zero_point, b - b_zero_point))
template <class F>
void requantize_pairs(const Args& args, const void* a, const void* b, void* y, int64_t n,
                      const F& f) {
  for (int64_t i = 0; i < n; ++i) {
    const float ai = load_number(a, i, args.a_flip, args.a_zero_point, args.a_is_word);
    const float bi = load_number(b, i, args.b_flip, args.b_zero_point, args.b_is_word);
    store_requantized(y, i, f(ai, bi), args.requantize, args.y_is_word);
  }
}

}  // namespace

void add_scalar(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  requantize_pairs(args, a, b, y, n, [&](float ai, float bi) {
    return std::fma(ai, args.a_multiplier, bi * args.b_multiplier);
  });
}

void mul_scalar(const Args& args, const void* a, const void* b, void* y, int64_t n) {
  requantize_pairs(args, a, b, y, n,
                   [&](float ai, float bi) { return ai * bi * args.a_multiplier; });
}

}  // namespace qnative::elementwise
