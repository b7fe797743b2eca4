#include "common.h"

namespace qnative::ops::testing {
namespace {

struct Case {
  std::vector<int64_t> x, weight;
  int64_t groups, stride, padding, dilation;
};

// One for each way to the kernels: see choose_layout() of csrc/ops/product/windows.cpp.
const Case kCases[] = {
    {{2, 16, 9, 7}, {20, 16, 1, 1}, 1, 1, 0, 1},    // pixels in place
    {{2, 5, 9, 7}, {20, 5, 1, 1}, 1, 1, 0, 1},      // pixels whose size is odd
    {{2, 16, 9, 7}, {20, 16, 1, 1}, 1, 2, 0, 1},    // a table of offsets
    {{2, 16, 9, 7}, {20, 16, 3, 3}, 1, 1, 0, 1},    // windows in place
    {{2, 16, 9, 7}, {20, 16, 3, 3}, 1, 1, 1, 1},    // a padded strip
    {{1, 3, 75, 71}, {8, 3, 7, 7}, 1, 2, 3, 1},     // first layer
    {{1, 64, 40, 40}, {16, 64, 3, 3}, 1, 1, 1, 1},  // several strips
    {{1, 4, 30, 5}, {3, 4, 1, 2}, 1, 5, 0, 1},      // rows between windows
    {{2, 8, 9, 7}, {6, 8, 3, 3}, 1, 1, 2, 2},       // dilation, segments of a pixel
    {{2, 6, 9, 7}, {6, 6, 3, 3}, 1, 1, 2, 2},       // dilation, gathered
    {{2, 8, 9, 7}, {6, 4, 3, 3}, 2, 1, 1, 1},       // groups, segments of a pixel
    {{2, 6, 9, 7}, {9, 2, 3, 3}, 3, 1, 1, 1},       // groups, a strip each
    {{2, 6, 9, 7}, {9, 2, 3, 3}, 3, 2, 2, 2},       // groups, gathered
    {{2, 20, 9, 7}, {20, 1, 3, 3}, 20, 1, 1, 1},    // depthwise
    {{2, 20, 9, 7}, {20, 1, 5, 5}, 20, 2, 2, 1},   {{2, 20, 9, 7}, {20, 1, 3, 2}, 20, 1, 1, 2},
    {{2, 5, 9, 7}, {10, 1, 3, 3}, 5, 1, 1, 1},  // two filters a channel
};

struct Layer {
  explicit Layer(const Case& c)
      : weight(random_bytes(c.weight, at::kChar)),
        packed(conv2d_pack(weight, c.groups)),
        scale(at::exp2(at::randint(-6, -3, {c.weight[0]})).to(at::kFloat)),
        bias(at::randint(-64, 64, {c.weight[0]}).to(at::kFloat)) {}
  at::Tensor weight, packed, scale, bias;
};

const QParams kX{0.125, 9}, kY{16, 7};

at::Tensor run(const Case& c, const Layer& layer, const at::Tensor& x, at::ScalarType dtype) {
  return conv2d(x, kX.scale, kX.zero_point, layer.packed, layer.scale, layer.bias, c.weight,
                c.stride, c.padding, c.dilation, c.groups, kY.scale, kY.zero_point, dtype);
}

at::Tensor expected(const Case& c, const Layer& layer, const at::Tensor& x) {
  const at::Tensor weight = layer.weight.to(at::kDouble) * layer.scale.view({-1, 1, 1, 1});
  return at::conv2d(real(x, kX), weight, layer.bias.to(at::kDouble), c.stride, c.padding,
                    c.dilation, c.groups);
}

TEST(Conv2d, EqualsFloat64) {
  for (const Case& c : kCases) {
    const Layer layer(c);
    for (at::ScalarType dtype : {at::kByte, at::kChar}) {
      SCOPED_TRACE(::testing::PrintToString(c.x) + ::testing::PrintToString(c.weight));
      const at::Tensor x = random_bytes(c.x, dtype);
      const at::Tensor y = expected(c, layer, x);
      for (at::MemoryFormat format :
           {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
        const at::Tensor q = run(c, layer, x.contiguous(format), dtype);
        expect_equal(q, quantized(y, kY, dtype));
        EXPECT_TRUE(q.is_contiguous(at::MemoryFormat::ChannelsLast));
        expect_equal(run(c, layer, x.contiguous(format), at::kFloat), y.to(at::kFloat));
      }
      expect_equal(run(c, layer, x[0], dtype), quantized(y[0], kY, dtype));
      expect_equal(run(c, layer, x.slice(0, 0, 0), dtype), quantized(y.slice(0, 0, 0), kY, dtype));
    }
  }
}

TEST(Conv2d, PaddingByName) {
  const Case c{{1, 4, 6, 7}, {5, 4, 2, 3}, 1, 1, 0, 1};
  const Layer layer(c);
  const at::Tensor x = random_bytes(c.x, at::kByte);
  const auto named = [&](const char* padding) {
    return conv2d(x, kX.scale, kX.zero_point, layer.packed, layer.scale, layer.bias, c.weight, {1},
                  padding, {1}, 1, kY.scale, kY.zero_point, at::kByte);
  };
  expect_equal(named("valid"), run(c, layer, x, at::kByte));
  const at::Tensor weight = layer.weight.to(at::kDouble) * layer.scale.view({-1, 1, 1, 1});
  const at::Tensor same =
      at::conv2d(real(x, kX), weight, layer.bias.to(at::kDouble), {1}, "same", {1});
  expect_equal(named("same"), quantized(same, kY, at::kByte));
}

TEST(Conv2d, PackAndUnpack) {
  for (const Case& c : kCases) {
    const at::Tensor weight = random_bytes(c.weight, at::kChar);
    expect_equal(conv2d_unpack(conv2d_pack(weight, c.groups), c.weight, c.groups), weight);
  }
}

TEST(Conv2d, Errors) {
  const Case c{{1, 4, 6, 7}, {5, 4, 3, 3}, 1, 1, 0, 1};
  const Layer layer(c);
  const at::Tensor x = random_bytes(c.x, at::kByte);
  const auto with = [&](Case changed, const at::Tensor& x) {
    return [&layer, changed, &x] { run(changed, layer, x, at::kByte); };
  };
  expect_error(with({c.x, c.weight, 1, 0, 0, 1}, x),
               "qnative::conv2d: stride must be in [1, 2^31)");
  expect_error(with({c.x, c.weight, 2, 1, 0, 1}, x), "qnative::conv2d: groups must be positive");
  expect_error(with({c.x, c.weight, 1, 1, 0, 9}, x), "qnative::conv2d: the dilated kernel has");
  expect_error(with({c.x, {5, 3, 3, 3}, 1, 1, 0, 1}, x), "qnative::conv2d: x must have 3 channels");
  expect_error(with({c.x, {50, 4, 3, 3}, 1, 1, 0, 1}, x), "qnative::conv2d: weight must be");
  expect_error(with(c, x.to(at::kFloat)), "qnative::conv2d: x must be Byte or Char, got Float");
}

}  // namespace
}  // namespace qnative::ops::testing
