#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kA{0.5, 3}, kB{0.25, -7}, kY{1, 11};

at::Tensor add_of(const at::Tensor& a, const at::Tensor& b) {
  return add(a, kA.scale, kA.zero_point, b, kB.scale, kB.zero_point, kY.scale, kY.zero_point,
             at::kByte);
}
at::Tensor mul_of(const at::Tensor& a, const at::Tensor& b) {
  return mul(a, kA.scale, kA.zero_point, b, kB.scale, kB.zero_point, kY.scale, kY.zero_point,
             at::kByte);
}

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
    expect_equal(add_of(a, b), quantized(sum, kY, at::kByte));
    expect_equal(mul_of(a, b), quantized(real(a, kA) * real(b, kB), kY, at::kByte));
    EXPECT_EQ(add_of(a, b).strides(), at::add(a, b.to(at::kByte)).strides());
  }
}

TEST(Binary, Errors) {
  const at::Tensor a = random_bytes({2, 3}, at::kByte), b = random_bytes({2, 4}, at::kChar);
  expect_error([&] { add_of(a, b); }, "qnative::add: shapes do not broadcast: [2, 3] and [2, 4]");
  expect_error([&] { mul_of(a.to(at::kFloat), a); }, "qnative::mul: a must be Byte or Char");
}

TEST(Cat, EqualsFloat64) {
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor a = random_bytes({2, 5, 3, 4}, at::kByte).contiguous(format);
    const at::Tensor b = random_bytes({2, 5, 3, 4}, at::kByte).contiguous(format);
    const at::Tensor none = at::empty({2, 5, 3, 0}, at::kByte);
    for (int64_t dim = -4; dim < 4; ++dim) {
      const at::Tensor y = cat({a, b}, {kA.scale, kY.scale}, {kA.zero_point, kY.zero_point}, dim,
                               kY.scale, kY.zero_point, at::kByte);
      expect_equal(y, at::cat({quantized(real(a, kA), kY, at::kByte), b}, dim));
      EXPECT_TRUE(y.is_contiguous(format));
    }
    expect_equal(
        cat({a, none}, {kY.scale, 1}, {kY.zero_point, 0}, 3, kY.scale, kY.zero_point, at::kByte),
        a);
  }
}

TEST(Cat, Errors) {
  const at::Tensor a = random_bytes({2, 3}, at::kByte);
  const std::vector<at::Tensor> no_tensors;
  expect_error([&] { cat(no_tensors, {}, {}, 0, 1, 0, at::kByte); },
               "qnative::cat: tensors must not be empty");
  expect_error([&] { cat({a}, {1.0}, {0}, 2, 1, 0, at::kByte); }, "qnative::cat: dim must be in");
}

TEST(Lookup, IndexesInTheOrderOfValues) {
  const at::Tensor table = random_bytes({256}, at::kByte);
  const at::Tensor x = random_bytes({3, 5, 7, 9}, at::kChar);
  for (const at::Tensor& view : {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(0, 2),
                                 x.slice(3, 0, 9, 2), x.slice(0, 0, 0)}) {
    const at::Tensor y = lookup(view, table);
    expect_equal(y, table.index({view.to(at::kLong) + 128}));
    EXPECT_EQ(y.strides(), at::neg(view).strides());
  }
  expect_error([&] { lookup(x, table.slice(0, 0, 255)); },
               "qnative::lookup: table must have shape [256], got [255]");
}

}  // namespace
}  // namespace qnative::ops::testing
