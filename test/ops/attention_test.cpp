#include "qnative/ops/attention.h"

#include "common.h"

namespace qnative::ops::testing {
namespace {

const QParams kQ{0.03125, 120}, kK{0.0625, 99}, kV{0.03125, 128};

at::Tensor float_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options = {}) {
  std::optional<at::Tensor> mask = options.mask;
  if (mask && mask->is_floating_point()) mask = mask->to(q.scalar_type());
  return at::scaled_dot_product_attention(q, k, v, mask, 0, options.is_causal, options.scale,
                                          options.enable_gqa);
}

struct Operands {
  explicit Operands(at::ScalarType dtype, at::IntArrayRef batch = {2, 4}, int64_t groups = 1)
      : q{random_bytes({batch[0], batch[1], 13, 24}, dtype), kQ},
        k{random_bytes({batch[0], batch[1] / groups, 21, 24}, dtype), kK},
        v{random_bytes({batch[0], batch[1] / groups, 21, 40}, dtype), kV} {
    if (dtype == at::kByte) return;
    for (QTensor* x : {&q, &k, &v}) x->qparams.zero_point -= 128;
  }
  at::Tensor expected(const AttentionOptions& options = {}) const {
    return float_attention(real(q), real(k), real(v), options);
  }
  QTensor run(const OutputSpec& y, const AttentionOptions& options = {}) const {
    return attention(q, k, v, y, options);
  }

  QTensor q, k, v;
};

// A probability is rounded to 1 / 65535 of the largest one of its row.
void expect_near(const QTensor& y, const at::Tensor& expected) {
  ASSERT_EQ(y.data.sizes(), expected.sizes());
  const double rounding = y.data.is_floating_point() ? 0 : 0.5 * y.qparams.scale;
  EXPECT_LE((real(y) - expected).abs().max().item<double>(), rounding + 256 * kV.scale * 3e-4);
}

std::vector<AttentionOptions> all_options() {
  const at::Tensor keep = at::rand({2, 1, 1, 21}) > 0.3;
  return {{},
          {.is_causal = true},
          {.scale = 0.02},
          {.mask = keep},
          {.mask = at::randn({13, 21})},
          {.mask = at::zeros({2, 4, 13, 21}).masked_fill(keep.logical_not(), -1e9)}};
}

TEST(Attention, IsThatOfTorchInFloat64) {
  for (at::ScalarType dtype : {at::kByte, at::kChar}) {
    const Operands x(dtype);
    for (const AttentionOptions& options : all_options()) {
      const at::Tensor expected = x.expected(options);
      expect_near(x.run({.dtype = at::kFloat}, options), expected);
      expect_near(x.run({.qparams = {0.03125, 128}}, options), expected);
      expect_near(x.run({.qparams = {0.03125, 0}, .dtype = at::kChar}, options), expected);
    }
    const Operands grouped(dtype, {2, 4}, 2);
    const AttentionOptions gqa{.enable_gqa = true};
    expect_near(grouped.run({.dtype = at::kFloat}, gqa), grouped.expected(gqa));
  }
}

TEST(Attention, TakesAnyStrides) {
  const Operands x(at::kByte);
  const OutputSpec y{.qparams = {0.03125, 128}};
  const QTensor expected = x.run(y);
  const auto strided = [](QTensor t, int64_t a, int64_t b) {
    t.data = t.data.transpose(a, b).contiguous().transpose(a, b);
    return t;
  };
  for (const auto& [a, b] : {std::pair{1, 2}, {0, 3}, {2, 3}}) {
    expect_equal(attention(strided(x.q, a, b), strided(x.k, a, b), strided(x.v, a, b), y),
                 expected);
  }
  const auto first = [](const QTensor& t) { return QTensor{t.data[0][0], t.qparams}; };
  expect_equal(attention(first(x.q), first(x.k), first(x.v), y).data, expected.data[0][0]);
}

TEST(Attention, ReadsNothingBehindTheLastRow) {
  // Not one byte more: the sanitizer looks at them.
  std::vector<uint8_t> q(5 * 3, 200), k(7 * 3, 100), v(7 * 5, 50);
  const auto matrix = [](std::vector<uint8_t>& bytes, int64_t n) {
    return QTensor{
        at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size()) / n, n}, at::kByte),
        {.scale = 0.5}};
  };
  const QTensor y = attention(matrix(q, 3), matrix(k, 3), matrix(v, 5), {.qparams = {0.5, 0}});
  expect_equal(y.data, at::full({5, 5}, 50, at::kByte));
}

TEST(Attention, OfNothing) {
  const Operands x(at::kByte);
  const OutputSpec y{.qparams = {0.03125, 77}};
  const auto part = [](const QTensor& t, int64_t dim, int64_t end) {
    return QTensor{t.data.slice(dim, 0, end), t.qparams};
  };
  expect_equal(attention(x.q, part(x.k, 2, 0), part(x.v, 2, 0), y).data,
               at::full({2, 4, 13, 40}, 77, at::kByte));
  EXPECT_EQ(attention(part(x.q, 2, 0), x.k, x.v, y).data.sizes(), at::IntArrayRef({2, 4, 0, 40}));
  EXPECT_EQ(attention(x.q, x.k, part(x.v, 3, 0), y).data.sizes(), at::IntArrayRef({2, 4, 13, 0}));
  expect_near(attention(part(x.q, 3, 0), part(x.k, 3, 0), x.v, {.dtype = at::kFloat}),
              real(x.v).mean(2, true).expand({2, 4, 13, 40}));
}

TEST(Attention, OfFloats) {
  for (int64_t queries : {1, 4, 5, 60}) {
    const at::Tensor q = at::randn({2, 4, queries, 32}), k = at::randn({2, 4, 70, 32}),
                     v = at::randn({2, 4, 70, 32});
    for (const AttentionOptions& options :
         {AttentionOptions{}, {.is_causal = true}, {.mask = at::rand({queries, 70}) > 0.4}}) {
      const at::Tensor y = attention_dynamic(q, k, v, options);
      const at::Tensor expected = float_attention(q, k, v, options);
      EXPECT_LE((y - expected).abs().max().item<double>(), queries <= 4 ? 1e-5 : 0.06);
      EXPECT_EQ(y.strides(), expected.strides());
    }
  }
}

TEST(Attention, Errors) {
  const Operands x(at::kByte);
  expect_error([&] { x.run({.dtype = at::kInt}); },
               "qnative::attention: y_dtype must be Byte, Char or Float, got Int");
  expect_error([&] { x.run({.activation = Activation::relu()}); },
               "qnative::attention: takes no activation, got bounds 0 and inf");
  expect_error([&] { x.run({}, {.mask = at::ones({13, 20}, at::kBool)}); },
               "attn_mask must broadcast to the scores, [2, 4, 13, 21], got [13, 20]");
  expect_error([&] { attention_dynamic(x.q.data, x.k.data, x.v.data); },
               "qnative::attention_dynamic: q must be Float, got Byte");
  expect_error([&] { attention({x.q.data, {0, 0}}, x.k, x.v); },
               "qnative::attention: q_scale must be a positive normal float32, got 0");
}

}  // namespace
}  // namespace qnative::ops::testing
