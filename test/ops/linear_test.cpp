#include "common.h"

namespace qnative::ops::testing {
namespace {

struct Layer {
  Layer(int64_t n, int64_t k)
      : weight(random_bytes({n, k}, at::kChar)),
        packed(linear_pack(weight)),
        scale(at::exp2(at::randint(-6, -3, {n})).to(at::kFloat)),
        bias(at::randint(-64, 64, {n}).to(at::kFloat)),
        shape{n, k} {}

  at::Tensor expected(const at::Tensor& x, const QParams& q) const {
    return at::linear(real(x, q), weight.to(at::kDouble) * scale.unsqueeze(1),
                      bias.to(at::kDouble));
  }

  at::Tensor weight, packed, scale, bias;
  std::vector<int64_t> shape;
};

TEST(Linear, EqualsFloat64) {
  const QParams x_q{0.125, 3}, y_q{16, -5};
  for (int64_t k : {1, 3, 4, 31, 64, 200}) {
    for (int64_t n : {1, 15, 16, 17, 70}) {
      const Layer layer(n, k);
      for (int64_t m : {1, 2, 5, 67}) {
        for (at::ScalarType dtype : {at::kByte, at::kChar}) {
          const at::Tensor x = random_bytes({m, k}, dtype);
          const at::Tensor expected = layer.expected(x, x_q);
          expect_equal(linear(x, x_q.scale, x_q.zero_point, layer.packed, layer.scale, layer.bias,
                              layer.shape, y_q.scale, y_q.zero_point, at::kChar),
                       quantized(expected, y_q, at::kChar));
          expect_equal(linear(x, x_q.scale, x_q.zero_point, layer.packed, layer.scale, layer.bias,
                              layer.shape, 1, 0, at::kFloat, "relu"),
                       expected.relu().to(at::kFloat));
        }
      }
    }
  }
}

TEST(Linear, TakesAnyStrides) {
  const Layer layer(9, 12);
  const auto run = [&](const at::Tensor& x) {
    return linear(x, 0.125, 3, layer.packed, layer.scale, layer.bias, layer.shape, 8, 100,
                  at::kByte);
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
  const at::Tensor x = at::from_blob(bytes.data(), {3, 5}, at::kByte);
  const QParams x_q{0.125, 3}, y_q{4, 100};
  expect_equal(linear(x, x_q.scale, x_q.zero_point, layer.packed, layer.scale, layer.bias,
                      layer.shape, y_q.scale, y_q.zero_point, at::kByte),
               quantized(layer.expected(x, x_q), y_q, at::kByte));
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
    return linear(x, 0.1, 3, layer.packed, layer.scale, layer.bias, shape, 1, 0, at::kByte);
  };
  expect_error([&] { run(x.slice(1, 0, 6), {5, 7}); },
               "qnative::linear: x must be [..., 7] to fit weight_shape, got [2, 6]");
  expect_error([&] { run(at::Tensor(), {5, 7}); }, "qnative::linear: x must be a tensor");
  expect_error([&] { run(x.to(at::kMeta), {5, 7}); },
               "qnative::linear: x must be on cpu, got meta");
  expect_error([&] { run(x, {5, 8}); }, "qnative::linear: x must be [..., 8]");
  expect_error([&] { run(x, {6, 7}); }, "qnative::linear: weight_scale must have shape [6]");
  expect_error([&] { run(x, {50, 7}); }, "qnative::linear: weight must be a packed weight of");
}

}  // namespace
}  // namespace qnative::ops::testing
