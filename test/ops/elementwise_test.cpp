#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kA{0.5, 3}, kB{0.25, -7}, kY{1, 11};

const OutputSpec kOut{.qparams = kY};

QTensor add_of(const at::Tensor& a, const at::Tensor& b) { return add({a, kA}, {b, kB}, kOut); }
QTensor mul_of(const at::Tensor& a, const at::Tensor& b) { return mul({a, kA}, {b, kB}, kOut); }

// Pairs of shapes and views, as [a, b].
std::vector<std::pair<at::Tensor, at::Tensor>> operands() {
  const at::Tensor a = random_bytes({2, 5, 6, 7}, at::kByte);
  const at::Tensor b = random_bytes({2, 5, 6, 7}, at::kChar);
  const auto format = at::MemoryFormat::ChannelsLast;
  return {{a, b},
          {a.contiguous(format), b.contiguous(format)},
          {a.contiguous(format), b},
          {a.contiguous(format), b.slice(2, 0, 1).slice(3, 0, 1)},
          {a, b.slice(1, 2, 3)},
          {a[0][0][0][0], b},
          {a, b[0][0][0][0]},
          {a.transpose(1, 3), b.transpose(1, 3)},
          {a.slice(3, 0, 7, 2), b.slice(3, 1, 5)},
          {a.slice(0, 0, 0), b.slice(0, 0, 0)},
          {random_bytes({70001}, at::kByte), random_bytes({1}, at::kChar)},
          {random_bytes({70001}, at::kByte), random_bytes({70001}, at::kChar)}};
}

TEST(Binary, EqualsFloat64WithTheStridesOfTorch) {
  for (const auto& [a, b] : operands()) {
    SCOPED_TRACE(::testing::Message() << a.sizes() << a.strides() << b.sizes() << b.strides());
    const at::Tensor sum = real(a, kA) + real(b, kB);
    expect_equal(add_of(a, b), quantize(sum, kY, at::kByte));
    expect_equal(mul_of(a, b), quantize(real(a, kA) * real(b, kB), kY, at::kByte));
    EXPECT_EQ(add_of(a, b).data.strides(), at::add(a, b.to(at::kByte)).strides());
  }
}

TEST(Binary, AlphaAndActivation) {
  const QTensor a{random_bytes({5, 7}, at::kByte), kA}, b{random_bytes({5, 7}, at::kChar), kB};
  OutputSpec y{.qparams = kY, .dtype = at::kChar, .activation = Activation::clamp(-3, 8)};
  expect_equal(add(a, b, y, -0.5), quantize((real(a) - 0.5 * real(b)).clamp(-3, 8), kY, at::kChar));
  y.activation = Activation::relu();
  expect_equal(mul(a, b, y), quantize((real(a) * real(b)).relu(), kY, at::kChar));
}

TEST(Binary, Errors) {
  const at::Tensor a = random_bytes({2, 3}, at::kByte), b = random_bytes({2, 4}, at::kChar);
  expect_error([&] { add_of(a, b); }, "qnative::add: shapes do not broadcast: [2, 3] and [2, 4]");
  expect_error([&] { mul_of(a.to(at::kFloat), a); },
               "qnative::mul: a must be Byte, Char or Short, got Float");
}

TEST(Cat, EqualsFloat64) {
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor a = random_bytes({2, 5, 3, 4}, at::kByte).contiguous(format);
    const at::Tensor b = random_bytes({2, 5, 3, 4}, at::kByte).contiguous(format);
    const at::Tensor none = at::empty({2, 5, 3, 0}, at::kByte);
    for (int64_t dim = -4; dim < 4; ++dim) {
      const QTensor y = cat({{a, kA}, {b, kY}}, dim, kOut);
      expect_equal(y, {at::cat({quantized(real(a, kA), kY, at::kByte), b}, dim), kY});
      EXPECT_TRUE(y.data.is_contiguous(format));
    }
    expect_equal(cat({{a, kY}, {none, {1, 0}}}, 3, kOut), {a, kY});
  }
}

TEST(Cat, AppliesTheActivationToCopiesToo) {
  const QTensor a{random_bytes({2, 3}, at::kByte), kA}, b{random_bytes({2, 4}, at::kByte), kY};
  expect_equal(cat({a, b}, 1, {.qparams = kY, .activation = Activation::relu6()}),
               quantize(at::cat({real(a), real(b)}, 1).clamp(0, 6), kY, at::kByte));
}

TEST(Cat, Errors) {
  const at::Tensor a = random_bytes({2, 3}, at::kByte);
  const std::vector<QTensor> no_tensors;
  expect_error([&] { cat(no_tensors, 0, {}); }, "qnative::cat: tensors must not be empty");
  expect_error([&] { cat({{a, {1, 0}}}, 2, {}); }, "qnative::cat: dim must be in");
}

TEST(Lookup, IndexesInTheOrderOfValues) {
  const at::Tensor table = random_bytes({256}, at::kByte);
  const at::Tensor x = random_bytes({3, 5, 7, 9}, at::kChar);
  for (const at::Tensor& view : {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(0, 2),
                                 x.slice(3, 0, 9, 2), x.slice(0, 0, 0)}) {
    const at::Tensor y = lookup(view, {table});
    expect_equal(y, table.index({view.to(at::kLong) + 128}));
    EXPECT_EQ(y.strides(), at::neg(view).strides());
  }
  expect_error([&] { lookup(x, {table.slice(0, 0, 255)}); },
               "qnative::lookup: table must have shape [256], got [255]");
}

}  // namespace
}  // namespace qnative::ops::testing
