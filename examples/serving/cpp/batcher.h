#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

// Forms batches of requests that arrive at the same time.
namespace serving {

struct BatchOptions {
  int workers = 1;
  size_t max_batch = 8;
  std::chrono::microseconds deadline{2000};  // for further requests, after the first of a batch
};

// Any number of threads may call submit(). Each worker is a thread, which computes one batch after
// the other.
template <class Item, class Result>
class Batcher {
 public:
  // As many results as items. If it throws, all requests of the batch do.
  using Run = std::function<std::vector<Result>(std::vector<Item>)>;

  Batcher(Run run, const BatchOptions& options) : run_(std::move(run)), options_(options) {
    for (int i = 0; i < options.workers; ++i) workers_.emplace_back([this] { work(); });
  }
  // Requests that wait are computed first.
  ~Batcher() {
    {
      const std::lock_guard lock(mutex_);
      stops_ = true;
    }
    arrived_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  std::future<Result> submit(Item item) {
    Request request{std::move(item), {}};
    std::future<Result> result = request.result.get_future();
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(request));
    }
    arrived_.notify_one();
    return result;
  }

 private:
  struct Request {
    Item item;
    std::promise<Result> result;
  };

  // Empty when the server stops.
  std::vector<Request> next_batch() {
    std::vector<Request> batch;
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return stops_ || !waiting_.empty(); });
    const auto end = std::chrono::steady_clock::now() + options_.deadline;
    while (batch.size() < options_.max_batch) {
      const bool more = arrived_.wait_until(lock, end, [&] { return stops_ || !waiting_.empty(); });
      if (!more || waiting_.empty()) break;
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return batch;
  }

  void work() {
    for (;;) {
      std::vector<Request> batch = next_batch();
      if (batch.empty()) {
        const std::lock_guard lock(mutex_);
        if (stops_ && waiting_.empty()) return;
        continue;  // another worker was faster
      }
      std::vector<Item> items;
      for (Request& request : batch) items.push_back(std::move(request.item));
      try {
        std::vector<Result> results = run_(std::move(items));
        for (size_t i = 0; i < batch.size(); ++i) {
          batch[i].result.set_value(std::move(results.at(i)));
        }
      } catch (...) {
        for (Request& request : batch) request.result.set_exception(std::current_exception());
      }
    }
  }

  Run run_;
  BatchOptions options_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Request> waiting_;
  bool stops_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace serving
