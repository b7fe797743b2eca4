#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "common/parallel.h"

// Work in rounds that follow from each other, such as the steps of a sequence, in one parallel
// region: the next round begins when the last part of a round is done, which takes a fraction of
// the time of a region.
//
//   run_rounds(parts, [&](RoundsTask& task) {
//     for (...) task.run([&](int64_t part) { ... });
//   });
//
// Every task runs the whole of it, so that it must come to the same rounds in each of them: it may
// not depend on what rounds write. In each round a task first claims its own part, because the
// cache of its core holds that part's data from the round before, and then parts that nobody has
// claimed. It waits for parts only that a running thread has claimed. That works with any number of
// threads: where the tasks run one after the other, the first does everything.
namespace qnative::ops {

class RoundsTask;

// State that the tasks share.
class Rounds {
 public:
  explicit Rounds(int64_t parts)
      : parts_(parts), claims_(parts > 1 ? new Claim[parts] : nullptr), done_(0) {}

 private:
  friend class RoundsTask;

  struct alignas(64) Claim {
    std::atomic<int64_t> rounds{0};
  };

  // done_ orders the memory that a part reads.
  bool claim(int64_t part, int64_t round) const {
    auto& rounds = claims_[part].rounds;
    return rounds.load(std::memory_order_relaxed) == round &&
           rounds.compare_exchange_strong(round, round + 1, std::memory_order_relaxed);
  }
  bool has_done(int64_t rounds) const {
    return done_.load(std::memory_order_acquire) >= rounds * parts_;
  }

  int64_t parts_;
  std::unique_ptr<Claim[]> claims_;
  alignas(64) std::atomic<int64_t> done_;  // parts, of all rounds
};

class RoundsTask {
 public:
  RoundsTask(Rounds& rounds, int64_t part) : rounds_(rounds), part_(part) {}

  // One round: f(part) for each part. Where one throws, the others go on.
  template <class F>
  void run(const F& f) {
    if (rounds_.parts_ == 1) return f(0);
    const int64_t round = round_++;
    // A task that comes late finds rounds over.
    if (rounds_.has_done(round + 1)) return;
    for (int64_t i = 0; i < rounds_.parts_; ++i) {
      const int64_t part = (part_ + i) % rounds_.parts_;
      if (!rounds_.claim(part, round)) continue;
      const Completion completion(rounds_.done_);
      f(part);
    }
    wait(round + 1);
  }

 private:
  struct Completion {
    explicit Completion(std::atomic<int64_t>& done) : done(done) {}
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion() { done.fetch_add(1, std::memory_order_release); }
    std::atomic<int64_t>& done;
  };

  void wait(int64_t rounds) const {
    constexpr int kPauses = 2000;  // some 50 us: then others may need the core
    for (int i = 0; !rounds_.has_done(rounds); ++i) {
      if (i < kPauses) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  Rounds& rounds_;
  int64_t part_, round_ = 0;
};

// body(task) for `parts` tasks, on as many threads.
template <class F>
void run_rounds(int64_t parts, const F& body) {
  Rounds rounds(parts);
  run_tasks(parts, [&](int64_t part) {
    RoundsTask task(rounds, part);
    body(task);
  });
}

}  // namespace qnative::ops
