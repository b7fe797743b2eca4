#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.5, 3}, kY{0.25, 11};

QTensor run(const at::Tensor& x, const Interpolation& interpolation) {
  return interpolate({x, kX}, interpolation, {.qparams = kY});
}

std::vector<at::Tensor> images() {
  const at::Tensor x = random_bytes({2, 37, 5, 6}, at::kByte);
  return {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(2, 3), x.slice(1, 3, 20)};
}

TEST(Interpolate, NearestIsThatOfTorch) {
  for (const at::Tensor& x : images()) {
    const at::Tensor expected = at::upsample_nearest2d(real(x, kX), {7, 13});
    const Interpolation to_size{.size = {{7, 13}}};
    expect_equal(run(x, to_size), quantize(expected, kY, at::kByte));
    expect_equal(interpolate({x, kX}, to_size, {.qparams = kX, .activation = Activation::relu6()}),
                 quantize(expected.clamp(0, 6), kX, at::kByte));
  }
}

// Twice the size: weights of 1/4 and 3/4, which float32 multiplies without rounding.
TEST(Interpolate, BilinearEqualsFloat64) {
  for (const at::Tensor& x : images()) {
    const std::array<int64_t, 2> size{2 * x.size(2), 2 * x.size(3)};
    const QTensor expected =
        quantize(at::upsample_bilinear2d(real(x, kX).contiguous(), size, false), kY, at::kByte);
    expect_equal(run(x, {.size = {{size[0], size[1]}}, .mode = "bilinear", .align_corners = false}),
                 expected);
    expect_equal(run(x, {.scale_factors = {{2}}, .mode = "bilinear"}), expected);
  }
}

TEST(Interpolate, NothingInNothingOut) {
  const at::Tensor x = at::empty({0, 3, 4, 5}, at::kByte);
  EXPECT_EQ(run(x, {.size = {{8}}, .mode = "bilinear"}).data.sizes(),
            (std::vector<int64_t>{0, 3, 8, 8}));
}

TEST(Interpolate, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte);
  expect_error([&] { run(x, {}); },
               "qnative::interpolate: either size or scale_factors must be given, got none");
  expect_error([&] { run(x, {.size = {{0}}}); }, "qnative::interpolate: size must be in [1, 2^31)");
  expect_error([&] { run(at::Tensor(), {.size = {{2}}}); }, "qnative::interpolate: x must be");
}

}  // namespace
}  // namespace qnative::ops::testing
