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
        packed{.data = conv2d_pack(weight, c.groups),
               .scale = at::exp2(at::randint(-6, -3, {c.weight[0]})).to(at::kFloat),
               .bias = at::randint(-64, 64, {c.weight[0]}).to(at::kFloat),
               .shape = at::IntArrayRef(c.weight)} {}

  // The weight of float64.
  at::Tensor real_weight() const {
    return weight.to(at::kDouble) * packed.scale.view({-1, 1, 1, 1});
  }
  at::Tensor real_bias() const { return packed.bias->to(at::kDouble); }

  at::Tensor weight;
  PackedWeight packed;
};

const QParams kX{0.125, 9}, kY{16, 7};

QTensor run(const Case& c, const Layer& layer, const at::Tensor& x, at::ScalarType dtype) {
  PackedWeight w = layer.packed;
  w.shape = at::IntArrayRef(c.weight);
  const ConvGeometry geometry{
      .stride = c.stride, .padding = c.padding, .dilation = c.dilation, .groups = c.groups};
  return conv2d({x, kX}, w, geometry, {.qparams = kY, .dtype = dtype});
}

at::Tensor expected(const Case& c, const Layer& layer, const at::Tensor& x) {
  return at::conv2d(real(x, kX), layer.real_weight(), layer.real_bias(), c.stride, c.padding,
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
        const QTensor q = run(c, layer, x.contiguous(format), dtype);
        expect_equal(q, quantize(y, kY, dtype));
        EXPECT_TRUE(q.data.is_contiguous(at::MemoryFormat::ChannelsLast));
        expect_equal(run(c, layer, x.contiguous(format), at::kFloat), {y.to(at::kFloat), {}});
      }
      expect_equal(run(c, layer, x[0], dtype), quantize(y[0], kY, dtype));
      expect_equal(run(c, layer, x.slice(0, 0, 0), dtype), quantize(y.slice(0, 0, 0), kY, dtype));
    }
  }
}

TEST(Conv2d, PaddingByName) {
  const Case c{{1, 4, 6, 7}, {5, 4, 2, 3}, 1, 1, 0, 1};
  const Layer layer(c);
  const at::Tensor x = random_bytes(c.x, at::kByte);
  const auto padded = [&](const ConvPadding& padding) {
    return conv2d({x, kX}, layer.packed, {.padding = padding}, {.qparams = kY});
  };
  expect_equal(padded(ConvPadding::valid()), run(c, layer, x, at::kByte));
  const at::Tensor same =
      at::conv2d(real(x, kX), layer.real_weight(), layer.real_bias(), {1}, "same", {1});
  expect_equal(padded(ConvPadding::same()), quantize(same, kY, at::kByte));
  // Top, bottom, left, right: those of "same".
  expect_equal(padded({0, 1, 1, 1}), quantize(same, kY, at::kByte));
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
  expect_error([&] { conv2d({x, kX}, layer.packed, {.output_padding = 1}, {}); },
               "qnative::conv2d: output_padding is for transposed convolutions, got [1]");
  expect_error(
      [&] { conv2d({x, kX}, layer.packed, {.stride = 2, .padding = ConvPadding::same()}, {}); },
      "qnative::conv2d: padding 'same' needs stride 1, got [2]");
  expect_error(
      [&] { conv_transpose2d({x, kX}, layer.packed, {.padding = ConvPadding::same()}, {}); },
      "qnative::conv_transpose2d: padding must be numbers, got 'same'");
}

}  // namespace
}  // namespace qnative::ops::testing
