#include "common.h"

namespace qnative::ops::testing {
namespace {

TEST(Quantize, EqualsFloat64AndComesBack) {
  const at::Tensor values = at::randn({3, 5, 7, 9}) * 20;
  for (const at::Tensor& x :
       {values, values.contiguous(at::MemoryFormat::ChannelsLast), values.transpose(0, 2),
        values.slice(3, 0, 9, 2), values.slice(0, 0, 0), values[0][0][0][0]}) {
    for (at::ScalarType dtype : {at::kByte, at::kChar}) {
      const QParams q{0.25, 7};
      const QTensor y = quantize_per_tensor(x, q, {.dtype = dtype});
      expect_equal(y, quantize(x.to(at::kDouble), q, dtype));
      EXPECT_EQ(y.data.strides(), at::neg(x).strides());
      expect_equal(dequantize_per_tensor(y), real(y).to(at::kFloat));
    }
  }
}

TEST(Quantize, PerChannelIsPerTensorOfEachChannel) {
  const at::Tensor x = at::randn({3, 5, 7, 9}) * 20;
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (int64_t axis = -4; axis < 4; ++axis) {
      const int64_t channels = x.size(axis);
      const at::Tensor scale = at::rand({channels}) + 0.1f;
      const at::Tensor zero_point = random_bytes({channels}, at::kChar).to(at::kLong);
      const QRange range{.dtype = at::kChar, .quant_max = 100};
      const ChannelQParams qparams{scale, zero_point, axis};
      const at::Tensor y = quantize_per_channel(x.contiguous(format), qparams, range);
      const at::Tensor back = dequantize_per_channel(y, qparams);
      for (int64_t c = 0; c < channels; ++c) {
        const QParams q{scale[c].item<double>(), zero_point[c].item<int64_t>()};
        const at::Tensor of_channel = y.select(axis, c);
        expect_equal({of_channel, q}, quantize_per_tensor(x.select(axis, c), q, range));
        expect_equal(back.select(axis, c), dequantize_per_tensor({of_channel, q}));
      }
    }
  }
}

TEST(ChooseQParams, CoversTheValuesAndZero) {
  const at::Tensor x = at::rand({1000, 70}) * 3 + 1;
  const QParams q = choose_qparams(x);
  EXPECT_EQ(q.zero_point, 0);
  EXPECT_FLOAT_EQ(q.scale, x.max().item<float>() / 255);
  const QParams symmetric = choose_qparams(-x, {.dtype = at::kChar}, 1e-7, true);
  EXPECT_EQ(symmetric.zero_point, 0);
  EXPECT_FLOAT_EQ(symmetric.scale, x.max().item<float>() / 127.5f);
}

TEST(Quantize, Errors) {
  const at::Tensor x = at::zeros({3});
  expect_error([&] { quantize_per_tensor(x, {0, 0}); },
               "qnative::quantize_per_tensor: scale must be a positive normal float32, got 0");
  expect_error([&] { dequantize_per_tensor({x, {}}); },
               "qnative::dequantize_per_tensor: x must be Byte, Char or Short, got Float");
  expect_error([&] { quantize_per_channel(x, {x, x.to(at::kLong), 0}); },
               "qnative::quantize_per_channel: scale must be a positive normal float32, got 0");
  expect_error([&] { choose_qparams(x.slice(0, 0, 0)); },
               "qnative::choose_qparams: x must have elements, got shape [0]");
}

}  // namespace
}  // namespace qnative::ops::testing
