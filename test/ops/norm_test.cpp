#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.0625, 99}, kY{0.03125, 120};

std::vector<at::Tensor> images() {
  const at::Tensor x = random_bytes({2, 6, 9, 8}, at::kByte);
  return {x,
          x.contiguous(at::MemoryFormat::ChannelsLast),
          x.transpose(2, 3),
          x.slice(3, 1, 6),
          x.flatten(2),
          x.slice(0, 0, 0)};
}

// Of the nearest integers; float32 may not tell which of two that are nearly as near.
void expect_nearest(const at::Tensor& y, const at::Tensor& real) {
  ASSERT_EQ(y.sizes(), real.sizes());
  if (y.numel() == 0) return;
  const at::Tensor codes = (real / kY.scale + kY.zero_point).clamp(0, 255);
  EXPECT_LE((y - codes).abs().max().item<double>(), 0.501);
}

TEST(Norm, IsThatOfTorchInFloat64) {
  const at::Tensor weight = at::rand({6}) + 0.5, bias = at::randn({6}), mean = at::randn({6}),
                   var = at::rand({6}) + 0.5;
  const at::Tensor w = weight.to(at::kDouble), b = bias.to(at::kDouble), m = mean.to(at::kDouble),
                   v = var.to(at::kDouble);
  for (const at::Tensor& x : images()) {
    const at::Tensor r = real(x, kX);
    expect_nearest(group_norm(x, kX.scale, kX.zero_point, 3, weight, bias, 1e-5, kY.scale,
                              kY.zero_point, at::kByte),
                   at::group_norm(r.contiguous(), 3, w, b, 1e-5));
    expect_nearest(batch_norm(x, kX.scale, kX.zero_point, weight, bias, mean, var, 1e-3, kY.scale,
                              kY.zero_point, at::kByte, "relu"),
                   at::batch_norm(r, w, b, m, v, false, 0, 1e-3, false).relu());
    expect_nearest(instance_norm(x, kX.scale, kX.zero_point, weight, bias, mean, var, false, 1e-3,
                                 kY.scale, kY.zero_point, at::kByte),
                   at::batch_norm(r, w, b, m, v, false, 0, 1e-3, false));
    const at::IntArrayRef shape = x.sizes().slice(1);
    const at::Tensor last_weight = at::rand(shape) + 0.5;
    expect_nearest(layer_norm(x, kX.scale, kX.zero_point, shape, last_weight, std::nullopt, 1e-5,
                              kY.scale, kY.zero_point, at::kByte),
                   at::layer_norm(r, shape, last_weight.to(at::kDouble), {}, 1e-5));
    expect_nearest(prelu({x, kX}, weight, {.qparams = kY}).data, at::prelu(r, w));
    expect_nearest(softmax(x, kX.scale, kX.zero_point, 1, kY.scale, kY.zero_point, at::kByte),
                   r.softmax(1));
  }
}

TEST(Norm, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte), one = at::ones({2});
  expect_error([&] { group_norm(x, 1, 0, 3, {}, {}, 0, 1, 0, at::kByte); },
               "qnative::group_norm: num_groups must be positive and divide the channels 2, got 3");
  expect_error([&] { layer_norm(x, 1, 0, {5}, {}, {}, 0, 1, 0, at::kByte); },
               "qnative::layer_norm: x must be [..., *normalized_shape]");
  expect_error([&] { batch_norm(x, 1, 0, {}, {}, one, at::Tensor(), 0, 1, 0, at::kByte); },
               "qnative::batch_norm: running_var must be a tensor, got none");
  expect_error([&] { softmax(x, 1, 0, 4, 1, 0, at::kByte); },
               "qnative::softmax: dim must be in [-4, 3], got 4");
  expect_error([&] { prelu({x, {}}, at::Tensor(), {}); },
               "qnative::prelu: weight must be a tensor, got none");
}

}  // namespace
}  // namespace qnative::ops::testing
