#include "common.h"

namespace qnative::ops::testing {
namespace {

struct Layer {
  Layer(int64_t n, int64_t k)
      : weight(random_bytes({n, k}, at::kChar)),
        packed{.data = linear_pack(weight),
               .scale = at::exp2(at::randint(-6, -3, {n})).to(at::kFloat),
               .bias = at::randint(-64, 64, {n}).to(at::kFloat),
               .shape = {n, k}} {}

  at::Tensor expected(const QTensor& x) const {
    return at::linear(real(x), weight.to(at::kDouble) * packed.scale.unsqueeze(1),
                      packed.bias->to(at::kDouble));
  }

  at::Tensor weight;
  PackedWeight packed;
};

TEST(Linear, EqualsFloat64) {
  const QParams x_q{0.125, 3}, y_q{16, -5};
  for (int64_t k : {1, 3, 4, 31, 64, 200}) {
    for (int64_t n : {1, 15, 16, 17, 70}) {
      const Layer layer(n, k);
      for (int64_t m : {1, 2, 5, 67}) {
        for (at::ScalarType dtype : {at::kByte, at::kChar}) {
          const QTensor x{random_bytes({m, k}, dtype), x_q};
          const at::Tensor expected = layer.expected(x);
          expect_equal(linear(x, layer.packed, {.qparams = y_q, .dtype = at::kChar}),
                       quantize(expected, y_q, at::kChar));
          const OutputSpec y{.dtype = at::kFloat, .activation = Activation::relu()};
          expect_equal(linear(x, layer.packed, y),
                       {expected.relu().to(at::kFloat), {.scale = 1, .zero_point = 0}});
        }
      }
    }
  }
}

TEST(Linear, TakesAnyStrides) {
  const Layer layer(9, 12);
  const auto run = [&](const at::Tensor& x) {
    return linear({x, {0.125, 3}}, layer.packed, {.qparams = {8, 100}}).data;
  };
  const at::Tensor x = random_bytes({2, 3, 12}, at::kByte);
  const at::Tensor y = run(x);
  expect_equal(run(x.transpose(0, 1).contiguous().transpose(0, 1)), y);
  expect_equal(run(x.repeat_interleave(2, -1).slice(-1, 0, c10::nullopt, 2)), y);
  expect_equal(run(x.reshape({6, 12})), y.reshape({6, 9}));
  expect_equal(run(x[0][0]), y[0][0]);
  expect_equal(run(x.slice(0, 0, 0)), y.slice(0, 0, 0));
}

TEST(Linear, ReadsNothingBehindTheLastRow) {
  // 3 x 5 bytes and not one more: the sanitizer looks at them.
  const Layer layer(17, 5);
  std::vector<uint8_t> bytes(15, 200);
  const QTensor x{at::from_blob(bytes.data(), {3, 5}, at::kByte), {0.125, 3}};
  const QParams y_q{4, 100};
  expect_equal(linear(x, layer.packed, {.qparams = y_q}),
               quantize(layer.expected(x), y_q, at::kByte));
}

TEST(Linear, PackAndUnpack) {
  for (int64_t n : {1, 16, 33}) {
    for (int64_t k : {1, 4, 7, 130}) {
      const at::Tensor weight = random_bytes({n, k}, at::kChar);
      expect_equal(linear_unpack(linear_pack(weight), {n, k}), weight);
    }
  }
}

TEST(Linear, Errors) {
  const Layer layer(5, 7);
  const at::Tensor x = random_bytes({2, 7}, at::kByte);
  const auto run = [&](const at::Tensor& x, at::IntArrayRef shape) {
    PackedWeight w = layer.packed;
    w.shape = shape;
    return linear({x, {0.1, 3}}, w, {});
  };
  expect_error([&] { run(x.slice(1, 0, 6), {5, 7}); },
               "qnative::linear: x must be [..., 7] to fit weight_shape, got [2, 6]");
  expect_error([&] { run(at::Tensor(), {5, 7}); }, "qnative::linear: x must be a tensor");
  expect_error([&] { run(x.to(at::kMeta), {5, 7}); },
               "qnative::linear: x must be on cpu, got meta");
  expect_error([&] { run(x, {5, 8}); }, "qnative::linear: x must be [..., 8]");
  expect_error([&] { run(x, {6, 7}); }, "qnative::linear: weight_scale must have shape [6]");
  expect_error([&] { run(x, {50, 7}); }, "qnative::linear: weight must be a packed weight of");
  const auto with = [&](const QParams& x_q, const OutputSpec& y) {
    return [&layer, &x, x_q, y] { linear({x, x_q}, layer.packed, y); };
  };
  expect_error(with({0, 3}, {}), "qnative::linear: x_scale must be a positive normal float32");
  expect_error(with({0.1, 256}, {}), "qnative::linear: x_zero_point must be in [0, 255]");
  expect_error(with({0.1, 3}, {.qparams = {-1, 0}}),
               "qnative::linear: y_scale must be a positive normal float32, got -1");
  expect_error(with({0.1, 3}, {.dtype = at::kInt}),
               "qnative::linear: y_dtype must be Byte, Char, Short or Float, got Int");
  expect_error(with({0.1, 3}, {.activation = Activation::gelu()}),
               "activation must be one of none, relu, relu6, clamp, got 'gelu'");
  expect_error(with({0.1, 3}, {.activation = Activation::clamp(1, 0)}),
               "must be [min, max] with min <= max, got [1, 0]");
}

}  // namespace
}  // namespace qnative::ops::testing
