#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.h"
#include "model.h"

namespace qnative::program {

// The memory of one call, kept for later calls.
struct Context {
  explicit Context(std::shared_ptr<std::atomic<int64_t>> bytes) : arena(std::move(bytes)) {}

  Frame frame;
  Signature::State state;
  Arena arena;
};

// Contexts that nobody uses. A thread finds the one that it gave back last, so that threads neither
// wait for each other nor share cache lines.
class ContextPool {
 public:
  ContextPool() = default;
  ~ContextPool();
  ContextPool(const ContextPool&) = delete;
  ContextPool& operator=(const ContextPool&) = delete;

  // Null if there is none.
  std::unique_ptr<Context> take() const;
  void give_back(std::unique_ptr<Context> context) const;

 private:
  struct alignas(64) Place {
    std::atomic<Context*> context = nullptr;
  };
  // More than threads that call at the same time; above that, contexts are made and destroyed.
  static constexpr size_t kPlaces = 64;

  mutable std::array<Place, kPlaces> places_;
};

// A model and the state of its calls.
class Executable {
 public:
  explicit Executable(Model model);

  const Model& model() const { return model_; }

  // Leaves in, leaves out. Inputs that the model changes are changed.
  void run(c10::ArrayRef<c10::IValue> inputs, std::vector<c10::IValue>& outputs) const;

  // Runs `rounds` times; the least time of each node.
  std::vector<Graph::Cost> profile(c10::ArrayRef<c10::IValue> inputs, int64_t rounds) const;

  // Bytes of all arenas.
  int64_t arena_bytes() const { return *arena_bytes_; }

 private:
  using Costs = std::vector<Graph::Cost>;
  // `costs`: null if nobody asks.
  void run(c10::ArrayRef<c10::IValue> inputs, std::vector<c10::IValue>& outputs,
           Costs* costs) const;
  void run(c10::ArrayRef<c10::IValue> inputs, Context& context, std::vector<c10::IValue>& outputs,
           Costs* costs) const;
  void mutate(c10::ArrayRef<c10::IValue> inputs, const Frame& frame) const;

  Model model_;
  std::shared_ptr<std::atomic<int64_t>> arena_bytes_ = std::make_shared<std::atomic<int64_t>>(0);
  ContextPool contexts_;
  mutable std::mutex state_mutex_;  // of models with state
};

}  // namespace qnative::program
