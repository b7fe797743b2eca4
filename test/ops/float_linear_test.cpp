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
  expect_equal(linear_dynamic(x, linear_pack(weight), scale, {}, {21, 30}), expected);
  expect_equal(linear_dynamic(x, linear_pack(weight), scale, {}, {21, 30}, "relu"),
               expected.relu());
}

TEST(LinearFp16, IsExactForSmallIntegers) {
  const at::Tensor weight = at::randint(-8, 8, {21, 30}).to(at::kFloat);
  const at::Tensor x = at::randint(-8, 8, {7, 30}).to(at::kFloat);
  const at::Tensor bias = at::randint(-8, 8, {21}).to(at::kFloat);
  const at::Tensor packed = linear_fp16_pack(weight);
  const at::Tensor expected = at::linear(x, weight, bias);
  expect_equal(linear_dynamic_fp16(x, packed, bias, {21, 30}), expected);
  expect_equal(linear_fp16(x.to(at::kHalf), packed, bias, {21, 30}), expected.to(at::kHalf));
  expect_equal(linear_fp16_unpack(packed, {21, 30}), weight.to(at::kHalf));
  expect_error([&] { linear_fp16(x, packed, bias, {21, 30}); },
               "qnative::linear_fp16: x must be Half, got Float");
}

TEST(Matmul, EqualsFloat64) {
  const QParams a_q{0.125, 3}, b_q{0.5, -7}, y_q{64, 100};
  const at::Tensor a = random_bytes({3, 1, 5, 33}, at::kByte);
  const at::Tensor b = random_bytes({2, 18, 33}, at::kChar).transpose(1, 2);
  const at::Tensor expected = at::matmul(real(a, a_q), real(b, b_q));
  expect_equal(matmul(a, a_q.scale, a_q.zero_point, b, b_q.scale, b_q.zero_point, y_q.scale,
                      y_q.zero_point, at::kByte),
               quantized(expected, y_q, at::kByte));
  expect_equal(matmul(a, a_q.scale, a_q.zero_point, b, b_q.scale, b_q.zero_point, 1, 0, at::kFloat),
               expected.to(at::kFloat));
}

}  // namespace
}  // namespace qnative::ops::testing
