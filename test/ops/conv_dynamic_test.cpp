#include "common.h"

namespace qnative::ops::testing {
namespace {

using DynamicConv = at::Tensor(const at::Tensor&, const PackedWeight&, const ConvGeometry&,
                               const Activation&);
using DynamicPack = PackedWeight(const at::Tensor&, int64_t);

// Images of integers that span [-100, 155]: their scale is 1 and their zero point 100. Weights of
// integers that reach 127: their scale is 1. No formula rounds.
at::Tensor integer_images(at::IntArrayRef sizes) {
  at::Tensor x = at::randint(-100, 156, sizes).to(at::kFloat);
  x.flatten(1).select(1, 0).fill_(-100);
  x.flatten(1).select(1, 1).fill_(155);
  return x;
}

void check(DynamicConv& conv, DynamicPack& pack, int64_t dims, bool is_transposed) {
  std::vector<int64_t> x_sizes(dims + 2, 5), w_sizes(dims + 2, 3);
  x_sizes[0] = 3;
  x_sizes[1] = 6;
  w_sizes[0] = is_transposed ? 6 : 8;
  w_sizes[1] = is_transposed ? 4 : 3;
  const at::Tensor x = integer_images(x_sizes);
  at::Tensor weight = at::randint(-127, 128, w_sizes).to(at::kFloat);
  weight.flatten(2).select(2, 1).fill_(127);
  PackedWeight w = pack(weight, 2);
  expect_equal(w.scale, at::ones({8}));
  EXPECT_EQ(at::IntArrayRef(w.shape), at::IntArrayRef(w_sizes));
  w.bias = at::randint(-64, 64, {8}).to(at::kFloat);
  ConvGeometry geometry{.stride = 2, .padding = 1, .groups = 2};
  if (is_transposed) geometry.output_padding = 1;
  const std::vector<int64_t> one(dims, 1), two(dims, 2);
  const at::Tensor expected =
      at::convolution(x.to(at::kDouble), weight.to(at::kDouble), w.bias->to(at::kDouble), two, one,
                      one, is_transposed, std::vector<int64_t>(dims, is_transposed), 2)
          .to(at::kFloat);
  const auto run = [&](const at::Tensor& images) { return conv(images, w, geometry, {}); };
  expect_equal(run(x), expected);
  expect_equal(run(x.movedim(1, -1).contiguous().movedim(-1, 1)), expected);
  expect_equal(run(x[1]), expected[1]);
  expect_equal(run(x.slice(0, 0, 0)), expected.slice(0, 0, 0));
  expect_equal(conv(x, w, geometry, Activation::relu()), expected.relu());
  expect_error([&] { run(x.slice(1, 1)); }, "x must have 6 channels");
  expect_error([&] { run(x.to(at::kDouble)); }, "x must be Float, got Double");
  expect_error([&] { run(at::Tensor()); }, "x must be");
  expect_error([&] { pack(weight / 0, 2); }, "weight must be finite");
}

TEST(ConvDynamic, EqualsFloat64) {
  check(conv1d_dynamic, conv1d_dynamic_pack, 1, false);
  check(conv2d_dynamic, conv2d_dynamic_pack, 2, false);
  check(conv3d_dynamic, conv3d_dynamic_pack, 3, false);
}

TEST(ConvDynamic, TransposedEqualsFloat64) {
  check(conv_transpose1d_dynamic, conv_transpose1d_dynamic_pack, 1, true);
  check(conv_transpose2d_dynamic, conv_transpose2d_dynamic_pack, 2, true);
  check(conv_transpose3d_dynamic, conv_transpose3d_dynamic_pack, 3, true);
}

TEST(ConvDynamic, DepthwiseTakesBoundsAlone) {
  const PackedWeight w = conv1d_dynamic_pack(at::ones({4, 1, 3}), 4);
  const at::Tensor x = integer_images({2, 4, 9});
  const ConvGeometry geometry{.groups = 4};
  expect_equal(
      conv1d_dynamic(x, w, geometry, Activation::clamp(-20, 20)),
      at::convolution(x, at::ones({4, 1, 3}), {}, {1}, {0}, {1}, false, {0}, 4).clamp(-20, 20));
  expect_error([&] { conv1d_dynamic(x, w, geometry, Activation::gelu()); },
               "qnative::conv1d_dynamic: depthwise convolutions take bounds as activation");
}

}  // namespace
}  // namespace qnative::ops::testing
