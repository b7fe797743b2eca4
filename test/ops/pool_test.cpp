#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.5, 3}, kY{0.25, 11};

std::vector<at::Tensor> images() {
  const at::Tensor x = random_bytes({2, 37, 9, 8}, at::kByte);
  return {x,
          x.contiguous(at::MemoryFormat::ChannelsLast),
          x[1],
          x.transpose(2, 3),
          x.slice(1, 3, 20),
          x.slice(0, 0, 0)};
}

TEST(Pool, MaxIsThatOfTorch) {
  for (const at::Tensor& x : images()) {
    expect_equal(ops::max_pool2d(x, 3), at::max_pool2d(x.to(at::kFloat), 3).to(at::kByte));
    expect_equal(ops::max_pool2d(x, {3, 2}, 2, 1, {1, 2}, true),
                 at::max_pool2d(x.to(at::kFloat), {3, 2}, 2, 1, {1, 2}, true).to(at::kByte));
  }
}

// Divisors here are powers of two, or the mean would round twice in float64.
TEST(Pool, AverageEqualsFloat64) {
  for (const at::Tensor& x : images()) {
    for (bool count_padding : {false, true}) {
      expect_equal(avg_pool2d(x, kX.scale, kX.zero_point, 2, 2, {0, 1}, false, count_padding,
                              std::nullopt, kY.scale, kY.zero_point, at::kByte),
                   quantized(at::avg_pool2d(real(x, kX), 2, 2, {0, 1}, false, count_padding), kY,
                             at::kByte));
    }
    expect_equal(avg_pool2d(x, kX.scale, kX.zero_point, 3, 2, 1, true, true, 8, kY.scale,
                            kY.zero_point, at::kByte),
                 quantized(at::avg_pool2d(real(x, kX), 3, 2, 1, true, true, 8), kY, at::kByte));
    const at::Tensor square = x.slice(-2, 0, 8);
    expect_equal(adaptive_avg_pool2d(square, kX.scale, kX.zero_point, {2, 4}, kY.scale,
                                     kY.zero_point, at::kByte),
                 quantized(at::adaptive_avg_pool2d(real(square, kX), {2, 4}), kY, at::kByte));
  }
}

TEST(Pool, OneAndThreeDimensionsAreThoseOfTorch) {
  const at::Tensor volumes = random_bytes({2, 21, 5, 4, 8}, at::kByte);
  for (const at::Tensor& x : {volumes, volumes.contiguous(at::MemoryFormat::ChannelsLast3d),
                              volumes[0], volumes.slice(1, 2, 9)}) {
    expect_equal(ops::max_pool3d(x, 2, 1, 1, {2, 1, 1}),
                 at::max_pool3d(x.to(at::kFloat), 2, 1, 1, {2, 1, 1}).to(at::kByte));
    const auto average = [](const at::Tensor& x) {
      return avg_pool3d(x, kX.scale, kX.zero_point, 2, 2, 0, false, true, std::nullopt, kY.scale,
                        kY.zero_point, at::kByte);
    };
    expect_equal(average(x), quantized(at::avg_pool3d(real(x, kX), 2), kY, at::kByte));
    expect_equal(
        adaptive_avg_pool3d(x.slice(-3, 1), kX.scale, kX.zero_point, {2, 1, 4}, kY.scale,
                            kY.zero_point, at::kByte),
        quantized(at::adaptive_avg_pool3d(real(x.slice(-3, 1), kX), {2, 1, 4}), kY, at::kByte));
  }
  for (const at::Tensor& rows : {volumes[0].select(1, 0), volumes[0].select(1, 0).slice(1, 1, 3)}) {
    expect_equal(ops::max_pool1d(rows, 3, 1, 1),
                 at::max_pool1d(rows.to(at::kFloat), 3, 1, 1).to(at::kByte));
    expect_equal(avg_pool1d(rows, kX.scale, kX.zero_point, 2, 2, 0, false, true, kY.scale,
                            kY.zero_point, at::kByte),
                 quantized(at::avg_pool1d(real(rows, kX), 2), kY, at::kByte));
    expect_equal(
        adaptive_avg_pool1d(rows, kX.scale, kX.zero_point, 1, kY.scale, kY.zero_point, at::kByte),
        quantized(real(rows, kX).mean(-1, true), kY, at::kByte));
  }
}

TEST(Mean, EqualsFloat64) {
  const at::Tensor x = random_bytes({4, 8, 16, 2}, at::kByte);
  for (const at::Tensor& view : {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(1, 2),
                                 x.expand({4, 8, 16, 2})}) {
    for (const std::vector<int64_t>& dim :
         std::vector<std::vector<int64_t>>{{2, 3}, {-1}, {0}, {0, 2}, {1, 3}, {0, 1, 2, 3}}) {
      for (bool keepdim : {false, true}) {
        expect_equal(
            mean(view, kX.scale, kX.zero_point, dim, keepdim, kY.scale, kY.zero_point, at::kByte),
            quantized(real(view, kX).mean(dim, keepdim), kY, at::kByte));
      }
    }
  }
  expect_equal(
      mean(x, kX.scale, kX.zero_point, std::nullopt, false, kY.scale, kY.zero_point, at::kByte),
      quantized(real(x, kX).mean(), kY, at::kByte));
}

TEST(Pool, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte);
  expect_error([&] { ops::max_pool2d(x, 5); },
               "qnative::max_pool2d: the window spans 5 rows or columns, but padded x has only 4");
  expect_error([&] { ops::max_pool2d(x[0][0], 2); }, "qnative::max_pool2d: x must be [N, C, H, W]");
  expect_error([&] { mean(x, 1, 0, at::IntArrayRef{4}, false, 1, 0, at::kByte); },
               "qnative::mean: dim must be in [-4, 3], got 4");
}

}  // namespace
}  // namespace qnative::ops::testing
