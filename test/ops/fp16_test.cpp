#include "common.h"

// The float16 functions on small integers: float16 holds all their sums and products.
namespace qnative::ops::testing {
namespace {

at::Tensor integers(at::IntArrayRef sizes) { return at::randint(-8, 9, sizes).to(at::kHalf); }

at::Tensor half(const at::Tensor& x) { return x.to(at::kHalf); }

TEST(Fp16, Arithmetic) {
  const at::Tensor a = integers({3, 1, 21}), b = integers({7, 21});
  const at::Tensor x = a.to(at::kFloat), y = b.to(at::kFloat);
  expect_equal(add_fp16(a, b), half(x + y));
  expect_equal(add_fp16(a, b, Activation::relu(), -0.5), half((x - 0.5 * y).relu()));
  expect_equal(mul_fp16(a, b, Activation::clamp(-3, 5)), half((x * y).clamp(-3, 5)));
  expect_equal(pointwise_fp16(a, Affine{2, 1}), half(x * 2 + 1));
  expect_equal(pointwise_fp16(a, FloorDivide{3}), half(at::floor(x / 3)));
  expect_equal(pointwise_fp16(a, Activation::relu6()), half(x.clamp(0, 6)));
  expect_equal(matmul_fp16(a, b.t()), half(at::matmul(x, y.t())));
}

TEST(Fp16, Images) {
  const at::Tensor x = integers({2, 19, 9, 8}), real = x.to(at::kDouble);
  expect_equal(max_pool2d(x, {.kernel_size = {3}, .stride = {2}, .padding = {1}}),
               half(at::max_pool2d(real.to(at::kFloat), 3, 2, 1)));
  const PoolWindow window{.kernel_size = {3},
                          .stride = {2},
                          .padding = {1},
                          .ceil_mode = true,
                          .count_include_pad = false};
  expect_equal(avg_pool2d_fp16(x, window), half(at::avg_pool2d(real, 3, 2, 1, true, false)));
  expect_equal(adaptive_avg_pool2d_fp16(x, {4, 3}), half(at::adaptive_avg_pool2d(real, {4, 3})));
  expect_equal(mean_fp16(x, at::IntArrayRef{1, 3}, true), half(real.mean({1, 3}, true)));
  expect_equal(interpolate_fp16(x, {.size = {{18, 16}}}),
               x.repeat_interleave(2, 2).repeat_interleave(2, 3));
  expect_equal(interpolate_fp16(x, {.size = {{9, 8}}, .mode = "bicubic", .align_corners = false}),
               x);
}

TEST(Fp16, SoftmaxAddsUpToOne) {
  const at::Tensor y = softmax_fp16(integers({5, 300}), 1);
  EXPECT_LT((y.to(at::kFloat).sum(1) - 1).abs().max().item<float>(), 2e-3);
  expect_equal(softmax_fp16(at::zeros({3, 4}, at::kHalf), -1), at::full({3, 4}, 0.25, at::kHalf));
}

TEST(Fp16, Errors) {
  const at::Tensor x = integers({3, 4});
  expect_error([&] { add_fp16(x, x.to(at::kFloat)); },
               "qnative::add_fp16: b must be Half, got Float");
  expect_error([&] { pointwise_fp16(x, Activation::clamp(1, 0)); },
               "qnative::pointwise_fp16: function_args of clamp must be [min, max]");
  expect_error([&] { pointwise_fp16(x, Affine{1e39, 0}); },
               "qnative::pointwise_fp16: function_args must be finite as float32, got 1e+39");
  expect_error([&] { mean_fp16(x, at::IntArrayRef{2}, false); }, "dim must be in [-2, 1], got 2");
}

}  // namespace
}  // namespace qnative::ops::testing
