#include "executable.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include "error.h"
#include "qnative/allocator.h"

namespace qnative::program {
namespace {

using c10::IValue;

// A number for each thread, in the order of their first calls.
size_t thread_number() {
  static std::atomic<size_t> next = 0;
  thread_local const size_t number = next++;
  return number;
}

}  // namespace

ContextPool::~ContextPool() {
  for (Place& place : places_) delete place.context.load();
}

std::unique_ptr<Context> ContextPool::take() const {
  const size_t first = thread_number();
  for (size_t i = 0; i < kPlaces; ++i) {
    std::atomic<Context*>& place = places_[(first + i) % kPlaces].context;
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    if (Context* context = place.exchange(nullptr, std::memory_order_acquire)) {
      return std::unique_ptr<Context>(context);
    }
  }
  return nullptr;
}

void ContextPool::give_back(std::unique_ptr<Context> context) const {
  const size_t first = thread_number();
  for (size_t i = 0; i < kPlaces; ++i) {
    Context* none = nullptr;
    std::atomic<Context*>& place = places_[(first + i) % kPlaces].context;
    if (place.compare_exchange_strong(none, context.get(), std::memory_order_release,
                                      std::memory_order_relaxed)) {
      context.release();
      return;
    }
  }
}

Executable::Executable(Model model) : model_(std::move(model)) {}

void Executable::run(c10::ArrayRef<IValue> inputs, std::vector<IValue>& outputs) const {
  run(inputs, outputs, nullptr);
}

std::vector<Graph::Cost> Executable::profile(c10::ArrayRef<IValue> inputs, int64_t rounds) const {
  Costs costs;
  for (int64_t i = 0; i < rounds; ++i) {
    std::vector<IValue> outputs;
    run(inputs, outputs, &costs);
  }
  return costs;
}

void Executable::run(c10::ArrayRef<IValue> inputs, std::vector<IValue>& outputs,
                     Costs* costs) const {
  // torch::set_num_threads reaches a new thread at its first at::parallel_for. MKL does not wait
  // for that: the thread's first products would use another number of threads, and so round
  // otherwise.
  at::internal::lazy_init_num_threads();
  std::unique_ptr<Context> context = contexts_.take();
  if (context == nullptr) {
    context = std::make_unique<Context>(arena_bytes_);
    context->frame.slots.resize(static_cast<size_t>(model_.graph.slots));
  }
  std::unique_lock<std::mutex> lock;
  if (model_.has_state) lock = std::unique_lock(state_mutex_);
  // A context that an error has left as it was is not used again.
  run(inputs, *context, outputs, costs);
  contexts_.give_back(std::move(context));
}

void Executable::run(c10::ArrayRef<IValue> inputs, Context& context, std::vector<IValue>& outputs,
                     Costs* costs) const {
  within([] { return "qnative::Program"; }, [&] { model_.signature.check(inputs, context.state); });
  Frame& frame = context.frame;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Slot slot = model_.signature.inputs[i].slot;
    if (slot != kNoSlot) frame[slot] = inputs[i];
  }
  {
    const at::NoGradGuard no_grad;
    // Views are still tracked, as in torch.no_grad(): matmul looks at what they are views of.
    const at::AutoDispatchBelowAutograd no_autograd;
    context.arena.begin(context.state.accepted);
    {
      const AllocatorGuard allocator(context.arena);
      if (costs == nullptr) {
        model_.graph.run(frame);
      } else {
        model_.graph.profile(frame, *costs);
      }
    }
    outputs.reserve(model_.graph.outputs.size());
    for (const Argument& output : model_.graph.outputs) outputs.push_back(output.value(frame));
    for (const Mutation& mutation : model_.mutations) {
      if (mutation.target.defined()) mutation.target.copy_(mutation.value.value(frame).toTensor());
    }
  }
  mutate(inputs, frame);
  for (IValue& slot : frame.slots) slot = IValue();
  context.arena.end();
}

void Executable::mutate(c10::ArrayRef<IValue> inputs, const Frame& frame) const {
  const at::NoGradGuard no_grad;
  for (const Mutation& mutation : model_.mutations) {
    if (mutation.target.defined()) continue;
    inputs[mutation.input].toTensor().copy_(mutation.value.value(frame).toTensor());
  }
}

}  // namespace qnative::program
