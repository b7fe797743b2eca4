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
      const at::Tensor y = ops::quantize_per_tensor(x, q.scale, q.zero_point, dtype);
      expect_equal(y, quantized(x.to(at::kDouble), q, dtype));
      EXPECT_EQ(y.strides(), at::neg(x).strides());
      expect_equal(dequantize_per_tensor(y, q.scale, q.zero_point), real(y, q).to(at::kFloat));
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
      const at::Tensor y =
          ops::quantize_per_channel(x.contiguous(format), scale, zero_point, axis, at::kChar);
      const at::Tensor back = dequantize_per_channel(y, scale, zero_point, axis);
      for (int64_t c = 0; c < channels; ++c) {
        const double s = scale[c].item<double>();
        const auto z = zero_point[c].item<int64_t>();
        expect_equal(y.select(axis, c),
                     ops::quantize_per_tensor(x.select(axis, c), s, z, at::kChar));
        expect_equal(back.select(axis, c), dequantize_per_tensor(y.select(axis, c), s, z));
      }
    }
  }
}

TEST(ChooseQParams, CoversTheValuesAndZero) {
  const at::Tensor x = at::rand({1000, 70}) * 3 + 1;
  const auto [scale, zero_point] = choose_qparams(x, at::kByte);
  EXPECT_EQ(zero_point.item<int64_t>(), 0);
  EXPECT_FLOAT_EQ(scale.item<double>(), x.max().item<float>() / 255);
  const auto symmetric = choose_qparams(-x, at::kChar, {}, {}, 1e-7, true);
  EXPECT_EQ(std::get<1>(symmetric).item<int64_t>(), 0);
  EXPECT_FLOAT_EQ(std::get<0>(symmetric).item<double>(), x.max().item<float>() / 127.5f);
}

TEST(Quantize, Errors) {
  const at::Tensor x = at::zeros({3});
  expect_error([&] { ops::quantize_per_tensor(x, 0, 0, at::kByte); },
               "qnative::quantize_per_tensor: scale must be a positive normal float32, got 0");
  expect_error([&] { dequantize_per_tensor(x, 1, 0); },
               "qnative::dequantize_per_tensor: x must be Byte or Char, got Float");
  expect_error([&] { ops::quantize_per_channel(x, x, x.to(at::kLong), 0, at::kByte); },
               "qnative::quantize_per_channel: scale must be a positive normal float32, got 0");
  expect_error([&] { choose_qparams(x.slice(0, 0, 0), at::kByte); },
               "qnative::choose_qparams: x must have elements, got shape [0]");
}

}  // namespace
}  // namespace qnative::ops::testing
