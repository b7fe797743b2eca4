#include "arena.h"

#include <ATen/ceil_div.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <new>

namespace qnative::program {
namespace {

constexpr size_t kAlignment = 64;
// Plans for different input sizes; the one unused for longest is dropped.
constexpr size_t kMaxPlans = 8;
// Programs whose allocations depend on data are not recorded for ever.
constexpr int kMaxFailures = 4;

}  // namespace

Layout lay_out(const std::vector<Lifetime>& blocks) {
  Layout layout;
  layout.offsets.assign(blocks.size(), -1);
  std::vector<size_t> order;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].end >= 0 && blocks[i].size > 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return blocks[a].size != blocks[b].size ? blocks[a].size > blocks[b].size : a < b;
  });
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    size_t offset = 0;
    for (const size_t j : placed) {
      const auto begin = static_cast<size_t>(layout.offsets[j]);
      if (blocks[j].begin > blocks[i].end || blocks[i].begin > blocks[j].end) continue;
      if (offset + blocks[i].size <= begin) break;
      offset = std::max(offset, begin + at::round_up(blocks[j].size, kAlignment));
    }
    layout.offsets[i] = static_cast<int64_t>(offset);
    layout.size = std::max(layout.size, offset + at::round_up(blocks[i].size, kAlignment));
    const auto after = std::find_if(placed.begin(), placed.end(), [&](size_t j) {
      return layout.offsets[j] > layout.offsets[i];
    });
    placed.insert(after, i);
  }
  return layout;
}

// The allocations of one run. Blocks hold it, since they may outlive the run.
struct Arena::Recording {
  struct Block {
    std::shared_ptr<Recording> recording;
    size_t index;
    c10::DataPtr memory;
  };

  static void free(void* context) {
    std::unique_ptr<Block> block(static_cast<Block*>(context));
    Recording& recording = *block->recording;
    recording.ends[block->index] = recording.clock++;
  }

  // More are not recorded: a deque would do, but its elements could not be freed on other threads.
  static constexpr size_t kMaxBlocks = 1 << 14;

  std::vector<Lifetime> blocks;
  std::unique_ptr<std::atomic<int64_t>[]> ends{new std::atomic<int64_t>[kMaxBlocks]};
  std::atomic<int64_t> clock = 0;
};

// A block of a plan, where it lies in the buffer.
struct Arena::Block {
  Buffer* buffer = nullptr;
  size_t begin = 0, end = 0;
  std::atomic<bool> is_used = false;
  at::Tensor kept;  // in this block

  // Whether nobody but `kept` has the memory.
  bool is_free() const {
    if (!kept.defined()) return !is_used.load(std::memory_order_acquire);
    const bool is_ours = kept.getIntrusivePtr().is_uniquely_owned() && kept.storage().unique();
    std::atomic_thread_fence(std::memory_order_acquire);  // it may have been freed on a thread
    return is_ours;
  }
  bool has(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) const {
    return kept.defined() && kept.scalar_type() == dtype && kept.sizes() == sizes &&
           kept.strides() == strides && kept.storage_offset() == 0;
  }
};

// Memory of replayed blocks. Blocks hold it, since they may outlive the run and the arena.
struct Arena::Buffer {
  Buffer(size_t bytes, size_t count, std::shared_ptr<std::atomic<int64_t>> sum)
      : total(std::move(sum)),
        size(bytes),
        memory(static_cast<std::byte*>(operator new(bytes, std::align_val_t(kAlignment)))),
        blocks(new Block[count]),
        block_count(count) {
    for (size_t i = 0; i < count; ++i) blocks[i].buffer = this;
    *total += static_cast<int64_t>(size);
  }
  ~Buffer() {
    operator delete(memory, std::align_val_t(kAlignment));
    *total -= static_cast<int64_t>(size);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // The arena lets go of it.
  static void abandon(Buffer* buffer) {
    for (size_t i = 0; i < buffer->block_count; ++i) buffer->blocks[i].kept.reset();
    release(buffer);
  }
  static void release(Buffer* buffer) {
    if (buffer->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete buffer;
  }
  static void free(void* context) {
    auto* block = static_cast<Block*>(context);
    block->is_used.store(false, std::memory_order_release);
    release(block->buffer);
  }

  // Forgets used blocks that have been freed; whether one that is left overlaps [begin, end).
  bool overlaps(size_t begin, size_t end) {
    bool found = false;
    std::erase_if(used, [&](const Block* block) {
      if (block->is_free()) return true;
      found |= block->begin < end && begin < block->end;
      return false;
    });
    return found;
  }

  std::shared_ptr<std::atomic<int64_t>> total;
  size_t size;
  std::byte* memory;
  std::unique_ptr<Block[]> blocks;  // by index in the plan
  size_t block_count;
  std::vector<Block*> used;
  std::atomic<int64_t> owners = 1;  // the arena, and blocks in use
};

Arena::Arena(std::shared_ptr<std::atomic<int64_t>> total) : total_(std::move(total)) {}

Arena::~Arena() {
  if (buffer_ != nullptr) Buffer::abandon(buffer_);
}

size_t Arena::buffer_bytes() const { return buffer_ == nullptr ? 0 : buffer_->size; }

size_t Arena::planned_bytes() const {
  if (plans_.empty()) return 0;
  const Plan& plan = plans_.back();
  size_t sum = 0;
  for (size_t i = 0; i < plan.sizes.size(); ++i) {
    if (plan.layout.offsets[i] >= 0) sum += plan.sizes[i];
  }
  return sum;
}

Arena::Plan& Arena::find_plan(const std::vector<int64_t>& key) {
  if (!plans_.empty() && plans_.back().key == key) return plans_.back();
  const auto found =
      std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) { return plan.key == key; });
  if (found != plans_.end()) {
    std::rotate(found, found + 1, plans_.end());
    return plans_.back();
  }
  if (plans_.size() == kMaxPlans) plans_.erase(plans_.begin());
  plans_.push_back({key, {}, {}, 0, false});
  return plans_.back();
}

void Arena::begin(const std::vector<int64_t>& key) {
  Plan& plan = find_plan(key);
  next_ = 0;
  misses_ = 0;
  is_inference_ = c10::InferenceMode::is_enabled();
  if (!plan.is_recorded) {
    if (plan.failures < kMaxFailures) recording_ = std::make_shared<Recording>();
    return;
  }
  const bool fits = buffer_ != nullptr && buffer_->size >= plan.layout.size &&
                    buffer_->block_count >= plan.sizes.size();
  if (fits) return;
  const size_t size = std::max(plan.layout.size, buffer_bytes());
  const size_t count = std::max(plan.sizes.size(), buffer_ == nullptr ? 0 : buffer_->block_count);
  if (buffer_ != nullptr) Buffer::abandon(buffer_);
  buffer_ = new Buffer(size, count, total_);
}

void Arena::end() {
  Plan& plan = plans_.back();
  if (recording_ != nullptr) {
    std::vector<Lifetime>& blocks = recording_->blocks;
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i].end = recording_->ends[i];
    plan.layout = lay_out(blocks);
    plan.sizes.clear();
    for (const Lifetime& block : blocks) plan.sizes.push_back(block.size);
    plan.is_recorded = blocks.size() < Recording::kMaxBlocks;
    recording_ = nullptr;
    return;
  }
  // A block that was to be freed is still used: the buffer is left to it.
  const bool escapes = buffer_ != nullptr && buffer_->overlaps(0, buffer_->size);
  if (escapes) {
    Buffer::abandon(buffer_);
    buffer_ = nullptr;
  }
  if (plan.is_recorded && (escapes || misses_ > 0)) {
    plan.is_recorded = false;
    ++plan.failures;
  }
}

c10::DataPtr Arena::allocate(size_t size) {
  if (recording_ != nullptr) return record(size);
  if (!plans_.empty() && plans_.back().is_recorded) return replay(size);
  return c10::GetCPUAllocator()->allocate(size);
}

c10::DataPtr Arena::record(size_t size) {
  c10::DataPtr memory = c10::GetCPUAllocator()->allocate(size);
  const size_t index = recording_->blocks.size();
  if (index == Recording::kMaxBlocks) return memory;
  recording_->ends[index] = -1;
  recording_->blocks.push_back({size, recording_->clock++, -1});
  void* data = memory.get();
  auto* block = new Recording::Block{recording_, index, std::move(memory)};
  return {data, block, &Recording::free, at::kCPU};
}

c10::DataPtr Arena::replay(size_t size) {
  const Plan& plan = plans_.back();
  const size_t index = next_++;
  if (index < plan.sizes.size() && plan.sizes[index] == size) {
    if (plan.layout.offsets[index] < 0) return c10::GetCPUAllocator()->allocate(size);
    const auto begin = static_cast<size_t>(plan.layout.offsets[index]);
    Block& block = buffer_->blocks[index];
    block.kept.reset();
    const bool is_used = block.is_used.load(std::memory_order_acquire);
    if (!is_used && !buffer_->overlaps(begin, begin + size)) {
      block.begin = begin;
      block.end = begin + size;
      block.is_used.store(true, std::memory_order_relaxed);
      buffer_->owners.fetch_add(1, std::memory_order_relaxed);
      buffer_->used.push_back(&block);
      return {buffer_->memory + begin, &block, &Buffer::free, at::kCPU};
    }
  }
  ++misses_;
  return c10::GetCPUAllocator()->allocate(size);
}

Arena::Block* Arena::next_block() {
  if (recording_ != nullptr || plans_.empty() || !plans_.back().is_recorded) return nullptr;
  const Plan& plan = plans_.back();
  const bool is_planned = next_ < plan.sizes.size() && plan.layout.offsets[next_] >= 0;
  return is_planned ? &buffer_->blocks[next_] : nullptr;
}

bool Arena::may_take(const Block& block) {
  const Plan& plan = plans_.back();
  const bool is_of_plan = block.begin == static_cast<size_t>(plan.layout.offsets[next_]) &&
                          block.end == block.begin + plan.sizes[next_];
  return is_of_plan && block.kept.is_inference() == is_inference_ && block.is_free() &&
         block.kept.const_data_ptr() == buffer_->memory + block.begin &&
         !buffer_->overlaps(block.begin, block.end);
}

at::Tensor Arena::empty(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) {
  Block* const block = next_block();
  if (block == nullptr) return make(sizes, strides, dtype);
  if (block->has(sizes, strides, dtype) && may_take(*block)) {
    ++next_;
    buffer_->used.push_back(block);
    return block->kept;
  }
  at::Tensor made = make(sizes, strides, dtype);
  if (made.const_data_ptr() == buffer_->memory + block->begin) block->kept = made;
  return made;
}

void Arena::copy_data(void* to, const void* from, std::size_t count) const {
  default_copy_data(to, from, count);
}

}  // namespace qnative::program
