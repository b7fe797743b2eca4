#pragma once

#include <string.h>

#include "rnn_cell.h"
#include "simd/activation.h"

// The cells, over the vectors R of simd/real_*.h.
namespace qnative::rnn_cell {
namespace {

// Elements [j, j + R::kLanes) of a row, or its last `rest` < R::kLanes elements.
template <class R>
struct Place : Functions<R> {
  using F = typename R::F;

  const Args& args;
  int64_t row, j, rest;

  F load(const float* p) const {
    if (rest == 0) return R::load(p);
    float buffer[R::kLanes] = {};
    memcpy(buffer, p, rest * sizeof(float));
    return R::load(buffer);
  }
  void store(float* p, F x) const {
    if (rest == 0) return R::store(p, x);
    float buffer[R::kLanes];
    R::store(buffer, x);
    memcpy(p, buffer, rest * sizeof(float));
  }
  float* c() const { return args.c + row * args.c_stride + j; }
  const float* h() const { return args.h + row * args.h_stride + j; }
  float* y() const { return args.y + row * args.y_stride + j; }
  F input(int gate) const {
    return load(args.ih + row * args.ih_stride + gate * args.gate_stride + j);
  }
  F recurrent(int gate) const {
    return load(args.hh + row * args.hh_stride + gate * args.gate_stride + j);
  }
  F sum(int gate) const { return R::add(input(gate), recurrent(gate)); }
};

template <class R>
struct Lstm {
  static void step(const Place<R>& at) {
    const auto added = R::mul(at.sigmoid(at.sum(0)), at.tanh(at.sum(2)));
    const auto c = R::fma(at.sigmoid(at.sum(1)), at.load(at.c()), added);
    at.store(at.c(), c);
    at.store(at.y(), R::mul(at.sigmoid(at.sum(3)), at.tanh(c)));
  }
};

template <class R>
struct Gru {
  static void step(const Place<R>& at) {
    const auto r = at.sigmoid(at.sum(0)), z = at.sigmoid(at.sum(1));
    const auto n = at.tanh(R::fma(r, at.recurrent(2), at.input(2)));
    at.store(at.y(), R::fma(z, R::sub(at.load(at.h()), n), n));
  }
};

template <class R>
struct RnnTanh {
  static void step(const Place<R>& at) { at.store(at.y(), at.tanh(at.sum(0))); }
};

template <class R>
struct RnnRelu {
  // max returns the second operand for NaN.
  static void step(const Place<R>& at) { at.store(at.y(), R::max(R::set(0.0f), at.sum(0))); }
};

template <class R, template <class> class Cell>
void run(const Args& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    int64_t j = 0;
    for (; j + R::kLanes <= args.hidden; j += R::kLanes) Cell<R>::step({{}, args, row, j, 0});
    if (j < args.hidden) Cell<R>::step({{}, args, row, j, args.hidden - j});
  }
}

}  // namespace
}  // namespace qnative::rnn_cell
