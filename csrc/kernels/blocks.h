#pragma once

#include <cstdint>

// Sizes in blocks.
namespace qnative {
namespace {

// Columns of a panel of packed weights, in every family that packs them.
constexpr int64_t kPanelColumns = 16;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// `rows` rows in ceil(rows / max_rows) blocks whose heights differ by at most one: the first
// `larger` have size + 1 rows, the others `size`. A last block of one or two rows would waste most
// of a tile.
struct Blocks {
  Blocks(int64_t rows, int64_t max_rows)
      : count(ceil_div(rows, max_rows)), size(rows / count), larger(rows % count) {}
  int64_t count, size, larger;
};

}  // namespace
}  // namespace qnative
