#include "common.h"

namespace qnative::ops::testing {
namespace {

constexpr RecurrentShape kShape{.input_size = 5, .hidden_size = 19};

// Weights of one layer and direction, exact in float16, and what the ops take of them.
struct Net {
  Net(int64_t gates, int64_t input_size, int64_t hidden_size)
      : ih(at::randint(-8, 8, {gates * hidden_size, input_size}) / 16),
        hh(at::randint(-8, 8, {gates * hidden_size, hidden_size}) / 16),
        bias_ih(at::randn({gates * hidden_size})),
        bias_hh(at::randn({gates * hidden_size})),
        packed{linear_fp16_pack(ih), linear_fp16_pack(hh)},
        biases{bias_ih, bias_hh} {}

  RecurrentWeights weights() const { return {packed, {}, biases}; }

  at::Tensor ih, hh, bias_ih, bias_hh;
  std::vector<at::Tensor> packed, biases;
};

// The error of float32 arithmetic over a few steps.
void expect_close(const at::Tensor& y, const at::Tensor& expected) {
  ASSERT_EQ(y.sizes(), expected.sizes());
  EXPECT_LT((y - expected).abs().max().item<float>(), 2e-6f);
}

TEST(Rnn, LstmEqualsFloat) {
  const Net net(4, 5, 19);
  const at::Tensor x = at::randn({6, 3, 5});
  const at::Tensor h0 = at::randn({1, 3, 19}), c0 = at::randn({1, 3, 19});
  const auto [y, h, c] = lstm(x, {h0, c0}, net.weights(), kShape);
  const auto [want_y, want_h, want_c] = at::lstm(
      x, {h0, c0}, {net.ih, net.hh, net.bias_ih, net.bias_hh}, true, 1, 0, false, false, false);
  expect_close(y, want_y);
  expect_close(h, want_h);
  expect_close(c, want_c);
  const auto [data_y, data_h, data_c] =
      lstm_data({x.view({18, 5}), at::full({6}, 3, at::kLong)}, {h0, c0}, net.weights(), kShape);
  expect_equal(data_y, y.view({18, 19}));
  expect_equal(data_h, h);
  expect_equal(data_c, c);
}

TEST(Rnn, GruEqualsFloat) {
  const Net net(3, 5, 19);
  const at::Tensor x = at::randn({3, 6, 5}), h0 = at::randn({1, 3, 19});
  const auto [y, h] = gru(x, {h0}, net.weights(), kShape, /*batch_first=*/true);
  const auto [want_y, want_h] = at::gru(x, h0, {net.ih, net.hh, net.bias_ih, net.bias_hh}, true, 1,
                                        0, false, false, /*batch_first=*/true);
  expect_close(y, want_y);
  expect_close(h, want_h);
  const auto [data_y, data_h] =
      gru_data({x.transpose(0, 1).reshape({18, 5}), at::full({6}, 3, at::kLong)}, {h0},
               net.weights(), kShape);
  expect_equal(data_y, y.transpose(0, 1).reshape({18, 19}));
  expect_equal(data_h, h);
}

TEST(Rnn, CellsEqualFloat) {
  const at::Tensor x = at::randn({3, 5}), h = at::randn({3, 19}), c = at::randn({3, 19});
  const Net four(4, 5, 19), three(3, 5, 19), one(1, 5, 19);
  const auto [next_h, next_c] = lstm_cell(x, {h, c}, four.weights(), kShape);
  const auto [want_h, want_c] =
      at::lstm_cell(x, {h, c}, four.ih, four.hh, four.bias_ih, four.bias_hh);
  expect_close(next_h, want_h);
  expect_close(next_c, want_c);
  expect_close(gru_cell(x, {h}, three.weights(), kShape),
               at::gru_cell(x, h, three.ih, three.hh, three.bias_ih, three.bias_hh));
  expect_close(rnn_tanh_cell(x, {h}, one.weights(), kShape),
               at::rnn_tanh_cell(x, h, one.ih, one.hh, one.bias_ih, one.bias_hh));
  expect_close(rnn_relu_cell(x, {h}, one.weights(), kShape),
               at::rnn_relu_cell(x, h, one.ih, one.hh, one.bias_ih, one.bias_hh));
}

TEST(Rnn, Errors) {
  const Net net(4, 5, 19);
  const at::Tensor x = at::randn({6, 3, 5});
  expect_error(
      [&] { lstm(x, {}, net.weights(), {.input_size = 5, .hidden_size = 19, .num_layers = 2}); },
      "qnative::lstm: weights must have 4 tensors, got 2");
  expect_error([&] { gru_cell(at::Tensor(), {}, net.weights(), kShape); }, "qnative::gru_cell: x");
  const std::vector<at::Tensor> undefined{net.packed[0], at::Tensor()};
  expect_error([&] { lstm(x, {}, {undefined, {}, net.biases}, kShape); },
               "qnative::lstm: weights[1]");
  expect_error([&] { lstm(x, {}, {net.packed, {}, undefined}, kShape); },
               "qnative::lstm: biases[0]");
  const std::vector<at::Tensor> none(2);
  expect_error([&] { lstm(x, {}, {none, {}, net.biases}, kShape); }, "qnative::lstm: weights[0]");
  const RecurrentShape projected{.input_size = 5, .hidden_size = 19, .proj_size = 3};
  expect_error([&] { lstm_cell(x[0], {}, net.weights(), projected); },
               "qnative::lstm_cell: a cell has one layer, one direction and no projection");
  expect_error([&] { gru(x, {}, net.weights(), projected); },
               "qnative::gru: proj_size is for lstm, got 3");
  expect_error([&] { lstm_data({x[0], at::ones({3}, at::kLong)}, {}, net.weights(), kShape); },
               "qnative::lstm: h0 must be a tensor, got none");
}

}  // namespace
}  // namespace qnative::ops::testing
