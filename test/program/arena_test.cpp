#include "arena.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <thread>

#include "qnative/allocator.h"
#include "qnative/ops.h"

namespace qnative::program {
namespace {

std::shared_ptr<std::atomic<int64_t>> counter() {
  return std::make_shared<std::atomic<int64_t>>(0);
}

TEST(Layout, BlocksOfOneTimeDoNotOverlap) {
  std::mt19937 generator(::testing::UnitTest::GetInstance()->random_seed());
  for (int round = 0; round < 100; ++round) {
    std::vector<Lifetime> blocks;
    for (int64_t i = 0; i < 40; ++i) {
      const bool escapes = generator() % 8 == 0;
      blocks.push_back({generator() % 1000, 2 * i,
                        escapes ? -1 : 2 * i + 1 + static_cast<int64_t>(generator() % 9) * 2});
    }
    const Layout layout = lay_out(blocks);
    size_t live_at_once = 0;
    for (size_t i = 0; i < blocks.size(); ++i) {
      ASSERT_EQ(layout.offsets[i] < 0, blocks[i].end < 0 || blocks[i].size == 0);
      if (layout.offsets[i] < 0) continue;
      const auto begin = static_cast<size_t>(layout.offsets[i]);
      ASSERT_EQ(begin % 64, 0U);
      ASSERT_LE(begin + blocks[i].size, layout.size);
      size_t live = 0;
      for (size_t j = 0; j < blocks.size(); ++j) {
        if (layout.offsets[j] < 0 || blocks[j].begin > blocks[i].begin ||
            blocks[j].end < blocks[i].begin)
          continue;
        live += blocks[j].size;
        const auto other = static_cast<size_t>(layout.offsets[j]);
        ASSERT_TRUE(i == j || other >= begin + blocks[i].size || begin >= other + blocks[j].size);
      }
      live_at_once = std::max(live_at_once, live);
    }
    EXPECT_GE(layout.size, live_at_once);
  }
}

TEST(Layout, OneAfterAnotherShareTheirMemory) {
  const Layout layout = lay_out({{100, 0, 1}, {100, 2, 3}, {50, 4, 5}});
  EXPECT_EQ(layout.offsets, (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(layout.size, 128U);
}

// a lives while b is made; b outlives the run.
c10::DataPtr run(Arena& arena, void** first = nullptr) {
  arena.begin({});
  c10::DataPtr a = arena.allocate(1000);
  if (first != nullptr) *first = a.get();
  c10::DataPtr b = arena.allocate(500);
  a.clear();
  c10::DataPtr c = arena.allocate(700);
  c.clear();
  arena.end();
  return b;
}

TEST(Arena, RecordsOnceThenReplays) {
  const auto total = counter();
  Arena arena(total);
  const c10::DataPtr kept = run(arena);
  EXPECT_EQ(*total, 0);
  void *first = nullptr, *second = nullptr;
  const c10::DataPtr kept_too = run(arena, &first);
  EXPECT_EQ(arena.misses(), 0);
  EXPECT_EQ(*total, 1024);  // c lies where a was
  EXPECT_EQ(arena.planned_bytes(), 1700U);
  run(arena, &second);
  EXPECT_EQ(first, second);
  std::memset(kept.get(), 1, 500);  // of its own memory
  std::memset(kept_too.get(), 2, 500);
  EXPECT_EQ(*static_cast<char*>(kept.get()), 1);
}

TEST(Arena, BlocksThatLiveLongerThanPlanned) {
  const auto total = counter();
  c10::DataPtr a;
  {
    Arena arena(total);
    run(arena);
    arena.begin({});
    a = arena.allocate(1000);
    const c10::DataPtr b = arena.allocate(500);
    std::memset(a.get(), 3, 1000);
    const c10::DataPtr c = arena.allocate(700);  // planned where a still is
    EXPECT_EQ(arena.misses(), 1);
    std::memset(c.get(), 4, 700);
    arena.end();
    run(arena);  // records again, in other memory
    run(arena);
    EXPECT_EQ(arena.misses(), 0);
  }
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(static_cast<char*>(a.get())[i], 3);
  EXPECT_EQ(*total, 1024);  // the buffer that a is in
  std::thread([&] { a.clear(); }).join();
  EXPECT_EQ(*total, 0);
}

TEST(Arena, OtherAllocations) {
  Arena arena(counter());
  run(arena);
  for (int i = 0; i < 10; ++i) {
    arena.begin({});
    for (int j = 0; j <= i; ++j) arena.allocate(100 * (i + 1)).clear();
    arena.allocate(0).clear();
    arena.end();
  }
  for (int64_t key = 0; key < 20; ++key) {
    arena.begin({key});
    arena.allocate(100).clear();
    arena.end();
  }
}

TEST(Arena, KeepsTensors) {
  const auto total = counter();
  Arena arena(total);
  const QTensor x{at::randint(0, 256, {3, 5}, at::kByte), {.scale = 0.1, .zero_point = 3}};
  const at::Tensor expected = ops::dequantize_per_tensor(x);
  // Twice the same: `hold` gets the first.
  const auto run_twice = [&](at::Tensor* hold = nullptr) {
    arena.begin({});
    std::array<const void*, 2> made;
    {
      const AllocatorGuard guard(arena);
      for (const void*& each : made) {
        const at::Tensor y = ops::dequantize_per_tensor(x);
        EXPECT_TRUE(at::equal(y, expected));
        EXPECT_EQ(y.is_inference(), c10::InferenceMode::is_enabled());
        each = y.unsafeGetTensorImpl();
        if (hold != nullptr && !hold->defined()) *hold = y;
      }
    }
    arena.end();
    return made;
  };
  run_twice();
  const auto first = run_twice();
  EXPECT_EQ(run_twice(), first);
  EXPECT_EQ(arena.misses(), 0);
  {
    const c10::InferenceMode guard;
    run_twice();
  }
  // A view, or a tensor that somebody has, is not taken again.
  for (const bool is_view : {false, true}) {
    at::Tensor held;
    run_twice(&held);
    if (is_view) held = held.slice(0, 1, 2);
    const at::Tensor copy = held.clone();
    const QTensor other{255 - x.data, x.qparams};
    arena.begin({});
    for (int i = 0; i < 2; ++i) {
      const AllocatorGuard guard(arena);
      ops::dequantize_per_tensor(other);
    }
    arena.end();
    EXPECT_TRUE(at::equal(held, copy));
    for (int i = 0; i < 2; ++i) run_twice();
    EXPECT_EQ(arena.misses(), 0);
  }
  // Of another shape.
  at::Tensor held;
  run_twice(&held);
  held.resize_({1, 2}).fill_(7);
  held.reset();
  for (int i = 0; i < 3; ++i) run_twice();
}

TEST(AllocatorGuard, ResultsOfOps) {
  const auto total = counter();
  Arena arena(total);
  const QTensor x{at::randint(0, 256, {3, 5}, at::kByte), {.scale = 0.1, .zero_point = 3}};
  const at::Tensor expected = ops::dequantize_per_tensor(x);
  for (int i = 0; i < 3; ++i) {
    arena.begin({});
    {
      const AllocatorGuard guard(&arena);
      EXPECT_TRUE(at::equal(ops::dequantize_per_tensor(x), expected));
    }
    arena.end();
  }
  EXPECT_EQ(*total, 64);
  // Beyond the guard, and where it is gone, storages grow in torch's memory.
  at::Tensor y;
  {
    const AllocatorGuard guard(&arena);
    arena.begin({});
    y = ops::dequantize_per_tensor(x);
    arena.end();
  }
  y.resize_({100, 100});
  EXPECT_EQ(y.numel(), 10000);
}

}  // namespace
}  // namespace qnative::program
