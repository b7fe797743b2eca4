#include "common.h"

namespace qnative::ops::testing {
namespace {

// Powers of two and few bits, so that no formula rounds.
TEST(LinearDynamic, IsExactForRowsOfBytes) {
  const at::Tensor weight = random_bytes({21, 30}, at::kChar);
  const at::Tensor scale = at::exp2(at::randint(-6, -3, {21})).to(at::kFloat);
  at::Tensor x = at::randint(-100, 156, {7, 30}).to(at::kFloat);
  // Every row spans [-100, 155]: its scale is 1 and its zero point 100.
  x.select(1, 3).fill_(-100);
  x.select(1, 17).fill_(155);
  const at::Tensor expected =
      at::linear(x.to(at::kDouble), weight.to(at::kDouble) * scale.unsqueeze(1)).to(at::kFloat);
  const PackedWeight w{linear_pack(weight), scale, {}, {21, 30}};
  expect_equal(linear_dynamic(x, w), expected);
  expect_equal(linear_dynamic(x, w, Activation::relu()), expected.relu());
}

TEST(LinearDynamicPack, SplitsWeightsThatAreTooLarge) {
  at::Tensor weight = at::randint(-127, 128, {21, 64}).to(at::kFloat) / 64;
  weight.select(1, 0).fill_(127.0 / 64);
  weight[3][5] = 10 * 127.0 / 64;
  const auto [plain, none] = linear_dynamic_pack(weight, false);
  EXPECT_TRUE(none.empty());
  expect_equal(plain.scale.slice(0, 0, 3), at::full({3}, 1.0 / 64));
  expect_equal(plain.scale.slice(0, 3, 4), at::full({1}, 10.0 / 64));
  const auto [packed, repeated] = linear_dynamic_pack(weight);
  EXPECT_FALSE(repeated.empty());
  for (const int64_t input : repeated) EXPECT_EQ(input, 5);
  EXPECT_EQ(packed.shape[1], 64 + static_cast<int64_t>(repeated.size()));
  const at::Tensor x = at::randint(-100, 156, {7, 64}).to(at::kFloat);
  const at::Tensor error = linear_dynamic(x, packed, {}, repeated) - at::linear(x, weight);
  EXPECT_LT(error.norm().item<double>(), 0.01 * at::linear(x, weight).norm().item<double>());
}

TEST(LinearFp16, IsExactForSmallIntegers) {
  const at::Tensor weight = at::randint(-8, 8, {21, 30}).to(at::kFloat);
  const at::Tensor x = at::randint(-8, 8, {7, 30}).to(at::kFloat);
  const at::Tensor bias = at::randint(-8, 8, {21}).to(at::kFloat);
  PackedWeight w{linear_fp16_pack(weight), {}, bias, {21, 30}};
  const at::Tensor expected = at::linear(x, weight, bias);
  expect_equal(linear_dynamic_fp16(x, w), expected);
  expect_equal(linear_fp16(x.to(at::kHalf), w), expected.to(at::kHalf));
  expect_equal(linear_fp16(x.to(at::kHalf), w, Activation::clamp(-20, 7)),
               expected.clamp(-20, 7).to(at::kHalf));
  expect_equal(linear_fp16_unpack(w.data, {21, 30}), weight.to(at::kHalf));
  expect_error([&] { linear_fp16(x, w); }, "qnative::linear_fp16: x must be Half, got Float");
  w.scale = at::ones({21});
  expect_error([&] { linear_dynamic_fp16(x, w); },
               "qnative::linear_dynamic_fp16: a float16 weight has no scale, got [21]");
}

// Powers of two and few bits, so that no formula rounds.
TEST(Linear4Bit, IsExactForCodes) {
  const at::Tensor codes = at::randint(-8, 8, {21, 30}).to(at::kChar);
  const at::Tensor scale = at::exp2(at::randint(-6, -3, {21, 4})).to(at::kBFloat16);
  const at::Tensor bias = at::randint(-8, 8, {21}).to(at::kFloat);
  at::Tensor x = at::randint(-127, 128, {7, 30}).to(at::kFloat);
  for (const int64_t k : {0, 8, 16, 24}) x.select(1, k).fill_(127);  // the scale of a group is 1
  const at::Tensor scales = scale.to(at::kFloat).repeat_interleave(8, 1).slice(1, 0, 30);
  const at::Tensor weight = codes * scales;
  PackedWeight w{linear_4bit_pack(codes, scale, 8), {}, bias, {21, 30}};
  const at::Tensor expected = at::linear(x, weight, bias);
  expect_equal(linear_4bit(x, w, 8), expected);
  expect_equal(linear_4bit(x, w, 8, Activation::relu()), expected.relu());
  const auto [same_codes, same_scale] = linear_4bit_unpack(w.data, {21, 30}, 8);
  expect_equal(same_codes, codes);
  expect_equal(same_scale, scale);
  const auto [found, found_scale] = linear_4bit_unpack(linear_4bit_pack(weight, 8), {21, 30}, 8);
  const at::Tensor found_scales = found_scale.to(at::kFloat).repeat_interleave(8, 1);
  EXPECT_LT((found * found_scales.slice(1, 0, 30) - weight).norm().item<double>(),
            0.05 * weight.norm().item<double>());
  expect_error([&] { linear_4bit(x, w, 6); },
               "qnative::linear_4bit: group_size must be a multiple of 4, or at least K = 30 for "
               "one group, got 6");
  w.scale = scale;
  expect_error([&] { linear_4bit(x, w, 8); },
               "qnative::linear_4bit: scales are inside a packed 4-bit weight, got scale [21, 4]");
}

TEST(Matmul, EqualsFloat64) {
  const QParams y_q{64, 100};
  const QTensor a{random_bytes({3, 1, 5, 33}, at::kByte), {0.125, 3}};
  const QTensor b{random_bytes({2, 18, 33}, at::kChar).transpose(1, 2), {0.5, -7}};
  const at::Tensor expected = at::matmul(real(a), real(b));
  expect_equal(matmul(a, b, {.qparams = y_q}), quantize(expected, y_q, at::kByte));
  expect_equal(matmul(a, b, {.dtype = at::kFloat}), {expected.to(at::kFloat), {}});
}

TEST(Matmul, OfNothingIsTheActivationOfZero) {
  const QTensor a{at::empty({2, 0}, at::kByte), {0.125, 3}};
  const QTensor b{at::empty({0, 3}, at::kByte), {0.5, 7}};
  const OutputSpec y{.qparams = {0.5, 10}, .activation = Activation::clamp(2, 4)};
  expect_equal(matmul(a, b, y), {at::full({2, 3}, 14, at::kByte), y.qparams});
  const at::Tensor half_a = at::empty({2, 0}, at::kHalf), half_b = at::empty({0, 3}, at::kHalf);
  expect_equal(matmul_fp16(half_a, half_b), at::zeros({2, 3}, at::kHalf));
  expect_equal(matmul_fp16(half_a, half_b, Activation::sigmoid()),
               at::full({2, 3}, 0.5, at::kHalf));
}

}  // namespace
}  // namespace qnative::ops::testing
