#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.0625, 99}, kY{0.03125, 120};
const OutputSpec kOut{.qparams = kY};

std::vector<at::Tensor> images() {
  const at::Tensor x = random_bytes({2, 6, 9, 8}, at::kByte);
  return {x,
          x.contiguous(at::MemoryFormat::ChannelsLast),
          x.transpose(2, 3),
          x.slice(3, 1, 6),
          x.flatten(2),
          x.slice(0, 0, 0)};
}

// y is the nearest integer; float32 may not tell which of two nearly equally near ones.
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
    const QTensor q{x, kX};
    const at::Tensor from_stats = at::batch_norm(r, w, b, m, v, false, 0, 1e-3, false);
    expect_nearest(group_norm(q, 3, {weight, bias}, 1e-5, kOut).data,
                   at::group_norm(r.contiguous(), 3, w, b, 1e-5));
    expect_nearest(batch_norm(q, {weight, bias}, {mean, var}, 1e-3,
                              {.qparams = kY, .activation = Activation::relu()})
                       .data,
                   from_stats.relu());
    expect_nearest(instance_norm(q, {weight, bias}, RunningStats{mean, var}, 1e-3, kOut).data,
                   from_stats);
    const at::IntArrayRef shape = x.sizes().slice(1);
    const at::Tensor last_weight = at::rand(shape) + 0.5;
    expect_nearest(layer_norm(q, shape, {.weight = last_weight}, 1e-5, kOut).data,
                   at::layer_norm(r, shape, last_weight.to(at::kDouble), {}, 1e-5));
    expect_nearest(prelu(q, weight, kOut).data, at::prelu(r, w));
    expect_nearest(softmax(q, 1, kOut).data, r.softmax(1));
  }
}

TEST(Norm, AppliesTheActivation) {
  const QTensor x{random_bytes({2, 6, 9, 8}, at::kByte), kX};
  const auto bounds = Activation::clamp(0.25, 0.75);
  const auto check = [&](const auto& run) {
    const OutputSpec bounded{.qparams = kY, .activation = bounds};
    expect_equal(run(bounded), quantize(real(run(kOut)).clamp(0.25, 0.75), kY, at::kByte));
  };
  const auto check_floats = [&](const auto& run) {
    const OutputSpec bounded{.dtype = at::kFloat, .activation = bounds};
    expect_equal(run(bounded).data, run({.dtype = at::kFloat}).data.clamp(0.25, 0.75));
  };
  const auto run_layer_norm = [&](const OutputSpec& y) { return layer_norm(x, 8, {}, 1e-5, y); };
  const auto run_softmax = [&](const OutputSpec& y) { return softmax(x, 3, y); };
  check(run_layer_norm);
  check(run_softmax);
  check([&](const OutputSpec& y) { return group_norm(x, 2, {}, 1e-5, y); });
  check([&](const OutputSpec& y) { return instance_norm(x, {}, std::nullopt, 1e-5, y); });
  check_floats(run_layer_norm);
  check_floats(run_softmax);
}

TEST(Norm, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte), one = at::ones({2});
  expect_error([&] { group_norm({x, {}}, 3, {}, 0, {}); },
               "qnative::group_norm: num_groups must be positive and divide the channels 2, got 3");
  expect_error([&] { layer_norm({x, {}}, {5}, {}, 0, {}); },
               "qnative::layer_norm: x must be [..., *normalized_shape]");
  expect_error([&] { batch_norm({x, {}}, {}, {one, at::Tensor()}, 0, {}); },
               "qnative::batch_norm: running_var must be a tensor, got none");
  expect_error([&] { softmax({x, {}}, 4, {}); }, "qnative::softmax: dim must be in [-4, 3], got 4");
  expect_error([&] { prelu({x, {}}, at::Tensor(), {}); },
               "qnative::prelu: weight must be a tensor, got none");
}

}  // namespace
}  // namespace qnative::ops::testing
