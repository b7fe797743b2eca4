#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "qnative/allocator.h"

// Memory of the values between inputs and outputs, planned: the first run with given sizes records
// what it allocates and when it is freed; later runs find each of these blocks at an offset of one
// buffer, where no block that lives at the same time lies. Blocks that outlive the recorded run
// (outputs) are left to torch's allocator, in later runs too.
//
// A tensor that is made in this way is kept with its block, for the next run that makes the same
// one when nobody else has it any more.
//
// A plan is a guess: a run that allocates something else, or frees it later, gets memory of torch's
// allocator where the plan does not fit, and the next run records again. Blocks are storages, so
// that views and operations in place need no care.
namespace qnative::program {

// A block of a recorded run. Times count allocations and frees.
struct Lifetime {
  size_t size = 0;
  int64_t begin = 0;
  int64_t end = -1;  // -1: it outlives the run
};

// Offsets of blocks in one buffer; -1 for blocks that outlive the run or are empty.
struct Layout {
  std::vector<int64_t> offsets;
  size_t size = 0;  // of the buffer
};

// Greedy by size: the largest first, each at the lowest offset that no block of its time has.
Layout lay_out(const std::vector<Lifetime>& blocks);

class Arena final : public TensorAllocator {
 public:
  // `total`: counts the bytes of the buffers of several arenas.
  explicit Arena(std::shared_ptr<std::atomic<int64_t>> total);
  ~Arena() override;

  // A run begins and ends. `key`: the sizes that the run depends on. Between the two, the thread
  // that runs allocates; blocks may be freed on any thread.
  void begin(const std::vector<int64_t>& key);
  void end();

  c10::DataPtr allocate(size_t size) override;
  at::Tensor empty(at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) override;
  void copy_data(void* to, const void* from, std::size_t count) const override;

  // The size of the buffer, and of the blocks that the plan of the last run puts into it.
  size_t buffer_bytes() const;
  size_t planned_bytes() const;
  // Allocations of the last run that the plan did not have.
  int64_t misses() const { return misses_; }

 private:
  struct Recording;
  struct Block;
  struct Buffer;
  struct Plan {
    std::vector<int64_t> key;
    std::vector<size_t> sizes;
    Layout layout;
    int failures = 0;
    bool is_recorded = false;
  };

  Plan& find_plan(const std::vector<int64_t>& key);
  c10::DataPtr record(size_t size);
  c10::DataPtr replay(size_t size);
  // The block that the plan has for the next allocation; null if there is none.
  Block* next_block();
  // Whether block->kept is of this mode and nobody has its memory.
  bool may_take(const Block& block);

  std::shared_ptr<std::atomic<int64_t>> total_;
  std::vector<Plan> plans_;  // the last used comes last
  std::shared_ptr<Recording> recording_;
  Buffer* buffer_ = nullptr;
  size_t next_ = 0;
  int64_t misses_ = 0;
  bool is_inference_ = false;
};

}  // namespace qnative::program
