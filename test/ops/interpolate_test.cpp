#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.5, 3}, kY{0.25, 11};

at::Tensor run(const at::Tensor& x, at::OptionalIntArrayRef size, const char* mode,
               std::optional<bool> align_corners = std::nullopt) {
  return interpolate(x, kX.scale, kX.zero_point, size, std::nullopt, mode, align_corners, kY.scale,
                     kY.zero_point, at::kByte);
}

std::vector<at::Tensor> images() {
  const at::Tensor x = random_bytes({2, 37, 5, 6}, at::kByte);
  return {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(2, 3), x.slice(1, 3, 20)};
}

TEST(Interpolate, NearestIsThatOfTorch) {
  for (const at::Tensor& x : images()) {
    expect_equal(run(x, std::vector<int64_t>{7, 13}, "nearest"),
                 quantized(at::upsample_nearest2d(real(x, kX), {7, 13}), kY, at::kByte));
  }
}

// Twice the size: weights of 1/4 and 3/4, which float32 multiplies without rounding.
TEST(Interpolate, BilinearEqualsFloat64) {
  for (const at::Tensor& x : images()) {
    const std::vector<int64_t> size{2 * x.size(2), 2 * x.size(3)};
    const at::Tensor expected = at::upsample_bilinear2d(real(x, kX).contiguous(), size, false);
    expect_equal(run(x, size, "bilinear", false), quantized(expected, kY, at::kByte));
  }
}

TEST(Interpolate, NothingInNothingOut) {
  const at::Tensor x = at::empty({0, 3, 4, 5}, at::kByte);
  EXPECT_EQ(run(x, {{8}}, "bilinear").sizes(), (std::vector<int64_t>{0, 3, 8, 8}));
}

TEST(Interpolate, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte);
  expect_error([&] { run(x, std::nullopt, "nearest"); },
               "qnative::interpolate: either size or scale_factors must be given, got none");
  expect_error([&] { run(x, {{0}}, "nearest"); },
               "qnative::interpolate: size must be in [1, 2^31)");
  expect_error([&] { run(at::Tensor(), {{2}}, "nearest"); }, "qnative::interpolate: x must be");
}

}  // namespace
}  // namespace qnative::ops::testing
