#include "embedding/embedding.h"

#include <cmath>

#include "embedding/pack.h"
#include "kernels/common.h"

namespace qnative::embedding {
namespace {

using test::Guarded;
using test::PageGuarded;
using test::Random;
using test::runnable;
using test::same_bits;

constexpr int64_t kRows = 37;

struct Family {
  const char* name;
  int bits;
  std::span<const Kernel<RowsFn>> rows;
  std::span<const Kernel<BagsFn>> bags;
};

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

// Random numbers with ordinary scales and biases.
std::vector<uint8_t> make_table(Random& random, int bits, int64_t dim) {
  std::vector<uint8_t> table;
  for (int64_t r = 0; r < kRows; ++r) {
    const auto q = random.full_range<uint8_t>(row_bytes(bits, dim) - kParamBytes);
    table.insert(table.end(), q.begin(), q.end());
    const float params[] = {random.uniform(1e-4f, 1e-2f), random.uniform(-1.0f, 1.0f)};
    const auto* bytes = reinterpret_cast<const uint8_t*>(params);
    table.insert(table.end(), bytes, bytes + sizeof(params));
  }
  return table;
}

// The contract, written independently.
float value(const std::vector<uint8_t>& table, int bits, int64_t dim, int64_t row, int64_t d) {
  const uint8_t* data = table.data() + row * row_bytes(bits, dim);
  const uint8_t byte = data[d * bits / 8];
  const int q = bits == 8 ? byte : d % 2 ? byte / 16 : byte % 16;
  float params[2];
  memcpy(params, data + row_bytes(bits, dim) - sizeof(params), sizeof(params));
  const long double exact = static_cast<long double>(q) * params[0] + params[1];
  return static_cast<float>(exact);
}

std::vector<int64_t> dims() {
  std::vector<int64_t> all;
  for (int64_t d = 1; d <= 40; ++d) all.push_back(d);
  for (int64_t d : {63, 64, 65, 127, 128, 129, 200, 256, 300}) all.push_back(d);
  return all;
}

class Embedding : public testing::TestWithParam<Family> {};

TEST_P(Embedding, RowsAreTheFormulaAndReadOnlyTheTable) {
  const auto& [name_, bits, rows, bags] = GetParam();
  Random random(1);
  for (int64_t dim : dims()) {
    const auto bytes = make_table(random, bits, dim);
    const PageGuarded<uint8_t> table(bytes, PageGuarded<uint8_t>::Side::kAfter);
    auto indices = random.vector<int64_t>(20, 0, kRows - 1);
    indices[3] = 0;
    indices[19] = indices[0] = kRows - 1;
    std::vector<float> expected;
    for (int64_t row : indices) {
      for (int64_t d = 0; d < dim; ++d) expected.push_back(value(bytes, bits, dim, row, d));
    }
    for (const auto& kernel : runnable(rows)) {
      Guarded<float> y(20 * dim, dim % 3);
      kernel.run({table.data(), dim}, indices.data(), 20, y.data());
      EXPECT_TRUE(same_bits<float>(y.values(), expected)) << name(kernel.isa) << ", dim " << dim;
      EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", dim " << dim;
    }
  }
}

TEST_P(Embedding, BagsAreTheFormulaInEveryMode) {
  const auto& [name_, bits, rows, bags] = GetParam();
  Random random(2);
  const std::vector<int64_t> offsets = {0, 0, 1, 4, 40, 40, 57};
  const int64_t n = offsets.back(), count = std::ssize(offsets) - 1;
  for (int64_t dim : dims()) {
    const auto bytes = make_table(random, bits, dim);
    const PageGuarded<uint8_t> table(bytes, PageGuarded<uint8_t>::Side::kAfter);
    const PageGuarded<int64_t> indices(random.vector<int64_t>(n, 0, kRows - 1),
                                       PageGuarded<int64_t>::Side::kAfter);
    const auto weights = random.vector<float>(n, -2, 2);
    for (int mode = 0; mode < 4; ++mode) {
      const Bags args{.indices = indices.data(),
                      .weights = mode == 3 ? weights.data() : nullptr,
                      .offsets = offsets.data(),
                      .count = count,
                      .mode = static_cast<Mode>(mode % 3)};
      std::vector<float> expected(count * dim);
      for (int64_t b = 0; b < count; ++b) {
        for (int64_t d = 0; d < dim; ++d) {
          float sum = 0, most = -HUGE_VALF;
          for (int64_t i = offsets[b]; i < offsets[b + 1]; ++i) {
            const float v = value(bytes, bits, dim, indices.data()[i], d);
            const double product = mode == 3 ? double{v} * weights[i] : v;
            sum = static_cast<float>(static_cast<long double>(sum) + product);
            most = std::max(most, v);
          }
          const int64_t entries = offsets[b + 1] - offsets[b];
          if (mode == 1) sum /= static_cast<float>(entries);
          expected[b * dim + d] = entries == 0 ? 0 : mode == 2 ? most : sum;
        }
      }
      for (const auto& kernel : runnable(bags)) {
        Guarded<float> y(count * dim, dim % 3);
        kernel.run({table.data(), dim}, args, y.data());
        EXPECT_TRUE(same_bits<float>(y.values(), expected))
            << name(kernel.isa) << ", dim " << dim << ", mode " << mode;
        EXPECT_TRUE(y.intact()) << name(kernel.isa) << ", dim " << dim;
      }
    }
  }
}

TEST_P(Embedding, AnyBitsAreReadAlikeOnEveryIsa) {
  const auto& [name_, bits, rows, bags] = GetParam();
  Random random(3);
  for (int64_t dim : {5, 64, 91}) {
    const auto table = random.full_range<uint8_t>(kRows * row_bytes(bits, dim));
    const auto indices = random.vector<int64_t>(60, 0, kRows - 1);
    const std::vector<int64_t> offsets = {0, 20, 60};
    for (Mode mode : {Mode::kSum, Mode::kMean, Mode::kMax}) {
      const Bags args{indices.data(), nullptr, offsets.data(), 2, mode};
      std::vector<float> expected(2 * dim), y(2 * dim);
      bags.back().run({table.data(), dim}, args, expected.data());
      for (const auto& kernel : runnable(bags)) {
        kernel.run({table.data(), dim}, args, y.data());
        for (int64_t i = 0; i < 2 * dim; ++i) {
          const bool both_nan = std::isnan(y[i]) && std::isnan(expected[i]);
          EXPECT_TRUE(both_nan || y[i] == expected[i]) << name(kernel.isa) << ", dim " << dim;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Embedding,
    testing::Values(Family{"bits8", 8, rows_8bit_kernels(), bags_8bit_kernels()},
                    Family{"bits4", 4, rows_4bit_kernels(), bags_4bit_kernels()}),
    [](const auto& info) { return info.param.name; });

TEST(EmbeddingPack, RowOfOneValueIsExact) {
  for (float v : {0.0f, -0.1f, 3e38f, 1e-40f}) {
    for (int64_t dim : {1, 2, 7}) {
      const std::vector<float> x(dim, v);
      for (int bits : {8, 4}) {
        Guarded<uint8_t> row(row_bytes(bits, dim));
        ASSERT_TRUE((bits == 8 ? pack_row_8bit : pack_row_4bit)(x.data(), dim, row.data()));
        EXPECT_TRUE(row.intact());
        const std::vector<uint8_t> table(row.values().begin(), row.values().end());
        for (int64_t d = 0; d < dim; ++d) EXPECT_EQ(value(table, bits, dim, 0, d), v);
      }
    }
  }
}

TEST(EmbeddingPack, NotFiniteWritesNothing) {
  for (float v : {HUGE_VALF, -HUGE_VALF, NAN}) {
    for (auto* pack_row : {pack_row_8bit, pack_row_4bit}) {
      Guarded<uint8_t> row(16);
      const std::vector<float> x = {1, 2, v, 3};
      EXPECT_FALSE(pack_row(x.data(), 4, row.data()));
      for (uint8_t byte : row.values()) EXPECT_EQ(byte, Guarded<uint8_t>::kPoison);
    }
  }
}

}  // namespace
}  // namespace qnative::embedding
