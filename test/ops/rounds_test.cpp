#include "common/rounds.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace qnative::ops {
namespace {

// A number for each part: the sum of all numbers of the round before. Wrong, unless that round is
// over and this one runs every part once. Plain memory: what orders it are the rounds alone.
class Sums {
 public:
  explicit Sums(int64_t parts) : values_{std::vector<uint64_t>(parts, 1), {}} {
    values_[1].resize(parts);
  }

  void run(RoundsTask& task, int64_t rounds) {
    for (int64_t round = 0; round < rounds; ++round) {
      task.run([&, round](int64_t part) {
        uint64_t sum = static_cast<uint64_t>(part);
        for (const uint64_t value : values_[round % 2]) sum += value;
        values_[(round + 1) % 2][part] = sum;
      });
    }
  }
  static std::vector<uint64_t> expected(int64_t parts, int64_t rounds) {
    std::vector<uint64_t> values(parts, 1);
    for (int64_t round = 0; round < rounds; ++round) {
      uint64_t sum = 0;
      for (const uint64_t value : values) sum += value;
      for (int64_t part = 0; part < parts; ++part) values[part] = sum + static_cast<uint64_t>(part);
    }
    return values;
  }
  const std::vector<uint64_t>& after(int64_t rounds) const { return values_[rounds % 2]; }

 private:
  std::vector<uint64_t> values_[2];
};

void expect_sums(int64_t parts, int64_t rounds) {
  Sums sums(parts);
  run_rounds(parts, [&](RoundsTask& task) { sums.run(task, rounds); });
  EXPECT_EQ(sums.after(rounds), Sums::expected(parts, rounds))
      << parts << " parts, " << rounds << " rounds, " << at::get_num_threads() << " threads";
}

class RoundsOfThreads : public testing::TestWithParam<int> {
 protected:
  RoundsOfThreads() { at::set_num_threads(GetParam()); }
  ~RoundsOfThreads() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_P(RoundsOfThreads, EachFollowsTheOneBefore) {
  for (int64_t parts : {1, 2, 3, 7, 16}) {
    for (int64_t rounds : {0, 1, 3000}) expect_sums(parts, rounds);
  }
}

TEST_P(RoundsOfThreads, ManyRegions) {
  for (int i = 0; i < 500; ++i) expect_sums(GetParam(), 3);
}

TEST_P(RoundsOfThreads, NestedInARegion) {
  constexpr int64_t kRegions = 4;
  std::vector<Sums> sums(kRegions, Sums(3));
  at::parallel_for(0, kRegions, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      run_rounds(3, [&](RoundsTask& task) { sums[i].run(task, 100); });
    }
  });
  for (const Sums& each : sums) EXPECT_EQ(each.after(100), Sums::expected(3, 100));
}

TEST_P(RoundsOfThreads, AnErrorStopsNobodyElse) {
  constexpr int64_t kParts = 4, kRounds = 100;
  for (int64_t bad_round : {0, 50, 99}) {
    for (int64_t bad_part : {0, 3}) {
      std::vector<std::atomic<int64_t>> runs(kParts);
      const auto run = [&] {
        run_rounds(kParts, [&](RoundsTask& task) {
          for (int64_t round = 0; round < kRounds; ++round) {
            task.run([&](int64_t part) {
              ++runs[part];
              if (round == bad_round && part == bad_part) throw std::runtime_error("bad part");
            });
          }
        });
      };
      EXPECT_THROW(run(), std::runtime_error);
      // With one thread none is left to go on.
      if (GetParam() == 1) continue;
      for (const auto& count : runs) EXPECT_EQ(count, kRounds) << bad_round << " " << bad_part;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RoundsOfThreads, testing::Values(1, 2, 4, 13));

TEST(Rounds, TheFirstTaskDoesEverythingWhereNoOtherRuns) {
  Rounds rounds(3);
  std::vector<int64_t> order;
  const auto run = [&](int64_t own) {
    RoundsTask task(rounds, own);
    for (int64_t round = 0; round < 2; ++round) {
      task.run([&](int64_t part) { order.push_back(10 * round + part); });
    }
  };
  run(1);
  EXPECT_EQ(order, (std::vector<int64_t>{1, 2, 0, 11, 12, 10}));
  run(0);
  run(2);
  EXPECT_EQ(order.size(), 6);
}

}  // namespace
}  // namespace qnative::ops
