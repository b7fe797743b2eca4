#pragma once

#include "rnn_cell.h"
#include "simd/functions.h"

namespace qnative::rnn_cell {
namespace {

// Elements [j, j + V::kBytes) of a row, or the `rest` < V::kBytes last ones of it.
template <class V>
struct Place {
  const Args& args;
  int64_t row, j, rest;

  typename V::Floats load(const float* p) const { return rest ? V::load(p, rest) : V::load(p); }
  void store(float* p, typename V::Floats x) const { rest ? V::store(p, x, rest) : V::store(p, x); }
  float* c() const { return args.c + row * args.c_stride + j; }
  float* h() const { return args.h + row * args.h_stride + j; }
  typename V::Floats input(int gate) const {
    return load(args.ih + row * args.ih_stride + gate * args.hidden + j);
  }
  typename V::Floats recurrent(int gate) const {
    return load(args.hh + row * args.hh_stride + gate * args.hidden + j);
  }
  typename V::Floats sum(int gate) const { return V::add(input(gate), recurrent(gate)); }
};

template <class V>
struct Lstm {
  static void step(const Place<V>& at) {
    const typename V::Floats i = sigmoid<V>(at.sum(0));
    const typename V::Floats added = V::mul(i, tanh<V>(at.sum(2)));
    const typename V::Floats c = V::fma(sigmoid<V>(at.sum(1)), at.load(at.c()), added);
    at.store(at.c(), c);
    at.store(at.h(), V::mul(sigmoid<V>(at.sum(3)), tanh<V>(c)));
  }
};

template <class V>
struct Gru {
  static void step(const Place<V>& at) {
    const typename V::Floats r = sigmoid<V>(at.sum(0));
    const typename V::Floats n = tanh<V>(V::fma(r, at.recurrent(2), at.input(2)));
    const typename V::Floats z = sigmoid<V>(at.sum(1));
    at.store(at.h(), V::fma(z, V::sub(at.load(at.h()), n), n));
  }
};

template <class V>
struct RnnTanh {
  static void step(const Place<V>& at) { at.store(at.h(), tanh<V>(at.sum(0))); }
};

template <class V>
struct RnnRelu {
  // The second operand is what max gives for NaN.
  static void step(const Place<V>& at) { at.store(at.h(), V::max(V::floats(0.0f), at.sum(0))); }
};

template <class V, template <class> class Cell>
void run(const Args& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t j = 0;
    for (; j + V::kBytes <= args.hidden; j += V::kBytes) Cell<V>::step({args, row, j, 0});
    if (j < args.hidden) Cell<V>::step({args, row, j, args.hidden - j});
  }
}

}  // namespace
}  // namespace qnative::rnn_cell
