#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kX{0.125, 9}, kY{16, 7};

// A convolution of two groups from 6 channels to 8, stride 2, padding 1.
struct Layer {
  Layer(int64_t dims, bool is_transposed)
      : is_transposed(is_transposed),
        shape(dims + 2, 3),
        weight(random_bytes(sizes(), at::kChar)),
        scale(at::exp2(at::randint(-6, -3, {8})).to(at::kFloat)),
        bias(at::randint(-64, 64, {8}).to(at::kFloat)) {}

  at::IntArrayRef sizes() {
    shape[0] = is_transposed ? 6 : 8;
    shape[1] = is_transposed ? 4 : 3;
    return shape;
  }

  // scale belongs to output channels: those of each group in turn.
  at::Tensor real_weight() const {
    const at::Tensor w = weight.to(at::kDouble);
    if (!is_transposed) return w * scale.view({8}).reshape(ones(8, 1));
    const at::Tensor each = scale.view({2, 1, 4}).expand({2, 3, 4}).reshape(ones(6, 4));
    return w * each;
  }

  std::vector<int64_t> ones(int64_t first, int64_t second) const {
    std::vector<int64_t> sizes(shape.size(), 1);
    sizes[0] = first;
    sizes[1] = second;
    return sizes;
  }

  at::Tensor expected(const at::Tensor& x) const {
    const std::vector<int64_t> one(shape.size() - 2, 1), two(shape.size() - 2, 2);
    return at::convolution(real(x, kX), real_weight(), bias.to(at::kDouble), two, one, one,
                           is_transposed, std::vector<int64_t>(one.size(), is_transposed), 2);
  }

  bool is_transposed;
  std::vector<int64_t> shape;
  at::Tensor weight, scale, bias;
};

using Conv = QTensor(const QTensor&, const PackedWeight&, const ConvGeometry&, const OutputSpec&);

// layer by the op, with its weight packed.
QTensor convolve(Conv& conv, const at::Tensor& x, const at::Tensor& packed, const Layer& l) {
  ConvGeometry geometry{.stride = 2, .padding = 1, .groups = 2};
  if (l.is_transposed) geometry.output_padding = 1;
  return conv({x, kX}, {packed, l.scale, l.bias, at::IntArrayRef(l.shape)}, geometry,
              {.qparams = kY});
}

void check(Conv& conv, const at::Tensor& packed, const Layer& layer) {
  const auto run = [&](const at::Tensor& x) { return convolve(conv, x, packed, layer); };
  std::vector<int64_t> sizes(layer.shape.size(), 5);
  sizes[0] = 2;
  sizes[1] = 6;
  const at::Tensor x = random_bytes(sizes, at::kByte);
  const QTensor y = quantize(layer.expected(x), kY, at::kByte);
  expect_equal(run(x), y);
  expect_equal(run(x.movedim(1, -1).contiguous().movedim(-1, 1)), y);
  expect_equal(run(x[1]).data, y.data[1]);
  expect_equal(run(x.slice(0, 0, 0)).data, y.data.slice(0, 0, 0));
  expect_error([&] { run(x.slice(1, 1)); }, "x must have 6 channels");
  expect_error([&] { run(at::Tensor()); }, "x must be");
}

TEST(ConvNd, OneDimension) {
  const Layer layer(1, false);
  const at::Tensor packed = conv1d_pack(layer.weight, 2);
  expect_equal(conv1d_unpack(packed, layer.shape, 2), layer.weight);
  check(ops::conv1d, packed, layer);
}

TEST(ConvNd, ThreeDimensions) {
  const Layer layer(3, false);
  const at::Tensor packed = conv3d_pack(layer.weight, 2);
  expect_equal(conv3d_unpack(packed, layer.shape, 2), layer.weight);
  check(ops::conv3d, packed, layer);
}

TEST(ConvTranspose, OneDimension) {
  const Layer layer(1, true);
  const at::Tensor packed = conv_transpose1d_pack(layer.weight, 2);
  expect_equal(conv_transpose1d_unpack(packed, layer.shape, 2), layer.weight);
  check(ops::conv_transpose1d, packed, layer);
}

TEST(ConvTranspose, TwoDimensions) {
  const Layer layer(2, true);
  const at::Tensor packed = conv_transpose2d_pack(layer.weight, 2);
  expect_equal(conv_transpose2d_unpack(packed, layer.shape, 2), layer.weight);
  check(ops::conv_transpose2d, packed, layer);
}

TEST(ConvTranspose, ThreeDimensions) {
  const Layer layer(3, true);
  const at::Tensor packed = conv_transpose3d_pack(layer.weight, 2);
  expect_equal(conv_transpose3d_unpack(packed, layer.shape, 2), layer.weight);
  check(ops::conv_transpose3d, packed, layer);
}

}  // namespace
}  // namespace qnative::ops::testing
