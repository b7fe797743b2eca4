#include "common.h"

namespace qnative::ops::testing {
namespace {

struct Tables {
  EmbeddingTable eight, four;
  at::Tensor eight_values, four_values;
};

Tables make_tables(int64_t rows, int64_t dim) {
  const at::Tensor real = at::randn({rows, dim});
  Tables t{{embedding_8bit_pack(real)}, {embedding_4bit_pack(real), dim}, {}, {}};
  t.eight_values = embedding_8bit_unpack(t.eight);
  t.four_values = embedding_4bit_unpack(t.four);
  return t;
}

TEST(Embedding, IsTheUnpackedTable) {
  const Tables t = make_tables(11, 9);
  const at::Tensor indices = at::randint(0, 11, {3, 4}, at::kLong);
  expect_equal(embedding_8bit(t.eight, indices), at::embedding(t.eight_values, indices));
  expect_equal(embedding_4bit(t.four, indices.to(at::kInt)), at::embedding(t.four_values, indices));
}

TEST(EmbeddingBag, IsTorchOnTheUnpackedTable) {
  const Tables t = make_tables(11, 9);
  const at::Tensor indices = at::randint(0, 11, {20}, at::kLong);
  const at::Tensor offsets = at::tensor({0, 3, 3, 9, 20}, at::kLong);
  for (int64_t mode : {0, 1, 2}) {
    const at::Tensor expected = std::get<0>(
        at::embedding_bag(t.eight_values, indices, offsets, false, mode, false, {}, true));
    const at::Tensor y = embedding_bag_8bit(
        t.eight, indices, {.offsets = offsets, .mode = mode, .include_last_offset = true});
    // The orders of float32 additions differ.
    EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-6)) << "mode " << mode;
  }
  const at::Tensor weights = at::rand({20});
  const at::Tensor expected = std::get<0>(
      at::embedding_bag(t.four_values, indices, offsets, false, 0, false, weights, false, 3));
  const at::Tensor y = embedding_bag_4bit(
      t.four, indices, {.offsets = offsets, .per_sample_weights = weights, .padding_idx = 3});
  EXPECT_TRUE(at::allclose(y, expected, 1e-5, 1e-6));
}

TEST(Embedding, Errors) {
  const Tables t = make_tables(11, 9);
  expect_error([&] { embedding_8bit(t.eight, at::full({2}, 11, at::kLong)); },
               "qnative::embedding_8bit: indices must be in [0, 11), the rows, got 11");
  expect_error([&] { embedding_bag_4bit({t.four.packed, 8}, at::zeros({2, 2}, at::kLong)); },
               "qnative::embedding_bag_4bit: weight must be [rows, (embedding_dim + 1) / 2 + 8]");
  expect_error([&] { embedding_4bit({t.four.packed}, at::zeros({2}, at::kLong)); },
               "qnative::embedding_4bit: embedding_dim is for tables of 4 bits, and must be there");
}

}  // namespace
}  // namespace qnative::ops::testing
