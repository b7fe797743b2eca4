#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.5, 3}, kY{0.25, 11};
const OutputSpec kOut{.qparams = kY};

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
    expect_equal(ops::max_pool2d(x, {.kernel_size = {3}}),
                 at::max_pool2d(x.to(at::kFloat), 3).to(at::kByte));
    const PoolWindow window{.kernel_size = {3, 2},
                            .stride = {2},
                            .padding = {1},
                            .dilation = {1, 2},
                            .ceil_mode = true};
    const at::Tensor expected =
        at::max_pool2d(x.to(at::kFloat), {3, 2}, 2, 1, {1, 2}, true).to(at::kByte);
    expect_equal(ops::max_pool2d(x, window), expected);
    expect_equal(ops::max_pool2d({x, kX}, window), {expected, kX});
  }
}

// Divisors here are powers of two, or the mean would round twice in float64.
TEST(Pool, AverageEqualsFloat64) {
  for (const at::Tensor& x : images()) {
    const at::Tensor r = real(x, kX);
    for (bool count_padding : {false, true}) {
      const PoolWindow window{
          .kernel_size = {2}, .padding = {0, 1}, .count_include_pad = count_padding};
      expect_equal(avg_pool2d({x, kX}, window, kOut),
                   quantize(at::avg_pool2d(r, 2, 2, {0, 1}, false, count_padding), kY, at::kByte));
    }
    const PoolWindow window{.kernel_size = {3},
                            .stride = {2},
                            .padding = {1},
                            .ceil_mode = true,
                            .divisor_override = 8};
    const at::Tensor expected = at::avg_pool2d(r, 3, 2, 1, true, true, 8);
    expect_equal(avg_pool2d({x, kX}, window, kOut), quantize(expected, kY, at::kByte));
    expect_equal(
        avg_pool2d({x, kX}, window, {.qparams = kY, .activation = Activation::clamp(-2, 9)}),
        quantize(expected.clamp(-2, 9), kY, at::kByte));
    const at::Tensor square = x.slice(-2, 0, 8);
    expect_equal(adaptive_avg_pool2d({square, kX}, {2, 4}, kOut),
                 quantize(at::adaptive_avg_pool2d(real(square, kX), {2, 4}), kY, at::kByte));
  }
}

TEST(Pool, OneAndThreeDimensionsAreThoseOfTorch) {
  const at::Tensor volumes = random_bytes({2, 21, 5, 4, 8}, at::kByte);
  for (const at::Tensor& x : {volumes, volumes.contiguous(at::MemoryFormat::ChannelsLast3d),
                              volumes[0], volumes.slice(1, 2, 9)}) {
    const PoolWindow window{
        .kernel_size = {2}, .stride = {1}, .padding = {1}, .dilation = {2, 1, 1}};
    expect_equal(ops::max_pool3d(x, window),
                 at::max_pool3d(x.to(at::kFloat), 2, 1, 1, {2, 1, 1}).to(at::kByte));
    expect_equal(avg_pool3d({x, kX}, {.kernel_size = {2}}, kOut),
                 quantize(at::avg_pool3d(real(x, kX), 2), kY, at::kByte));
    const at::Tensor part = x.slice(-3, 1);
    expect_equal(adaptive_avg_pool3d({part, kX}, {2, 1, 4}, kOut),
                 quantize(at::adaptive_avg_pool3d(real(part, kX), {2, 1, 4}), kY, at::kByte));
  }
  for (const at::Tensor& rows : {volumes[0].select(1, 0), volumes[0].select(1, 0).slice(1, 1, 3)}) {
    expect_equal(ops::max_pool1d(rows, {.kernel_size = {3}, .stride = {1}, .padding = {1}}),
                 at::max_pool1d(rows.to(at::kFloat), 3, 1, 1).to(at::kByte));
    expect_equal(avg_pool1d({rows, kX}, {.kernel_size = {2}}, kOut),
                 quantize(at::avg_pool1d(real(rows, kX), 2), kY, at::kByte));
    expect_equal(adaptive_avg_pool1d({rows, kX}, 1, kOut),
                 quantize(real(rows, kX).mean(-1, true), kY, at::kByte));
  }
}

TEST(Mean, EqualsFloat64) {
  const at::Tensor x = random_bytes({4, 8, 16, 2}, at::kByte);
  for (const at::Tensor& view : {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(1, 2),
                                 x.expand({4, 8, 16, 2})}) {
    for (const std::vector<int64_t>& dim :
         std::vector<std::vector<int64_t>>{{2, 3}, {-1}, {0}, {0, 2}, {1, 3}, {0, 1, 2, 3}}) {
      for (bool keepdim : {false, true}) {
        expect_equal(mean({view, kX}, dim, keepdim, kOut),
                     quantize(real(view, kX).mean(dim, keepdim), kY, at::kByte));
      }
    }
  }
  expect_equal(mean({x, kX}, std::nullopt, false, kOut),
               quantize(real(x, kX).mean(), kY, at::kByte));
}

TEST(Mean, OfNothingIsZero) {
  const QTensor x{random_bytes({3, 0}, at::kByte), kX};
  for (at::ScalarType dtype : {at::kByte, at::kChar}) {
    OutputSpec y{.qparams = kY, .dtype = dtype};
    expect_equal(mean(x, at::IntArrayRef{1}, false, y), quantize(at::zeros({3}), kY, dtype));
    y.activation = Activation::clamp(1, 2);
    expect_equal(mean(x, at::IntArrayRef{1}, false, y), quantize(at::ones({3}), kY, dtype));
  }
}

TEST(Pool, Errors) {
  const at::Tensor x = random_bytes({1, 2, 4, 4}, at::kByte);
  expect_error([&] { ops::max_pool2d(x, {.kernel_size = {5}}); },
               "qnative::max_pool2d: the window spans 5 rows or columns, but padded x has only 4");
  expect_error([&] { ops::max_pool2d(x[0][0], {.kernel_size = {2}}); },
               "qnative::max_pool2d: x must be [N, C, H, W]");
  expect_error([&] { avg_pool2d({x, {}}, {.kernel_size = {2}, .dilation = {1, 2}}, {}); },
               "qnative::avg_pool2d: dilation must be 1, got [1, 2]");
  expect_error([&] { mean({x, {}}, at::IntArrayRef{4}, false, {}); },
               "qnative::mean: dim must be in [-4, 3], got 4");
}

}  // namespace
}  // namespace qnative::ops::testing
