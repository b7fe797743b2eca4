#pragma once

#include <cstdint>

#include "attention/heads.h"
#include "common/parallel.h"
#include "requantize.h"

// Rows of attention by two integer products, for both ops.
namespace qnative::ops {

// One call; y is not empty.
struct AttentionCall {
  AttentionCall(const AttentionShape<int64_t>& call_shape, const AttentionTensors& operands,
                const AttentionOptions& options)
      : shape(call_shape),
        tensors(operands),
        group(unite_heads(tensors, options.enable_gqa)),
        heads(tensors, shape.batch, group),
        is_causal(options.is_causal) {}

  const AttentionShape<int64_t>& shape;
  AttentionTensors tensors;
  int64_t group;
  Heads heads;
  bool is_causal;
  Requantize requantize{};  // for 8-bit y
};

// The keys and values of one head in the layouts that gemm and attention kernels read.
struct HeadPanels {
  int8_t* keys;
  int32_t* key_sums;
  int32_t* start;  // of scores, a key; 0 unless prepare() writes it
  int8_t* values;
  int32_t* value_sums;
  float* scale;  // a column of values, in units of y
  float* bias;
};
// And of rows of queries.
struct QueryRows {
  uint8_t* x;
  int64_t stride;
  float* scale;         // of their scores
  int32_t* zero_point;  // negated; 0 unless load() writes it
};

// How an op makes them; each task has its own.
class HeadOperands {
 public:
  virtual ~HeadOperands() = default;
  // Whether the products are defined. If not, all rows of the head are NaN.
  virtual bool prepare(const Places& at, const HeadPanels& to) = 0;
  // Rows [query, query + count) of the matrix at at.q.
  virtual void load(const Places& at, int64_t query, int64_t count, const QueryRows& to) = 0;
  virtual bool has_zero_points() const = 0;  // of queries
};

// Rows [begin, end) of all matrices of y, one after the other.
void run_attention_rows(const AttentionCall& call, HeadOperands& operands, int64_t begin,
                        int64_t end);

// Tasks of equal work, and the row that each begins with.
struct AttentionTasks {
  explicit AttentionTasks(const AttentionCall& call);
  int64_t begin(int64_t task) const;

  int64_t count;

 private:
  int64_t queries_, keys_, matrices_;
  bool is_causal_;
};

// Where there are no keys: every row is 0.
void fill_attention(const AttentionCall& call);

// make() gives the HeadOperands of a task.
template <class Make>
void run_attention(const AttentionCall& call, const Make& make) {
  if (call.shape.keys == 0) return fill_attention(call);
  const AttentionTasks tasks(call);
  run_tasks(tasks.count, [&](int64_t task) {
    auto operands = make();
    run_attention_rows(call, operands, tasks.begin(task), tasks.begin(task + 1));
  });
}

}  // namespace qnative::ops
