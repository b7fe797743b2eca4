#include "attention/rows.h"

#include <algorithm>
#include <limits>

#include "attention/attention.h"
#include "blocks.h"
#include "common/dispatch.h"
#include "common/scratch.h"
#include "gemm/gemm.h"

namespace qnative::ops {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kBlockBytes = 256 * 1024;  // of scores and probabilities: they stay in a cache
constexpr int64_t kMaxBlockRows = 48;        // of a block

// An odd number of lines: rows of a tile do not share a set of the L1 cache.
int64_t row_stride(int64_t n) { return (ceil_div(n, attention::kBlock) | 1) * attention::kBlock; }

// A row of y, whatever it holds.
struct OutputRow {
  void* data;
  int64_t n;
  const Requantize* requantize;  // null for float32

  // `real` is 0 or NaN.
  void fill(float real) const {
    if (requantize == nullptr) {
      std::fill_n(static_cast<float*>(data), n, real);
    } else {
      std::fill_n(static_cast<uint8_t*>(data), n, qnative::requantize(real, *requantize));
    }
  }
};

// The rows of one task, with the memory that it works in.
class HeadRows {
 public:
  HeadRows(const AttentionCall& call, HeadOperands& operands)
      : call_(call),
        operands_(operands),
        queries_(call.shape.queries),
        keys_(call.shape.keys),
        size_(call.shape.size),
        value_size_(call.shape.value_size),
        stride_(row_stride(keys_)),
        block_(std::min(std::clamp<int64_t>(kBlockBytes / (6 * stride_), 6, kMaxBlockRows),
                        call.heads.shared() * queries_)),
        mask_(call.tensors.mask, keys_),
        is_float_(call.tensors.y.scalar_type() == at::kFloat),
        y_(static_cast<std::byte*>(call.tensors.y.mutable_data_ptr())),
        y_bytes_(is_float_ ? 4 : 1),
        y_stride_(call.tensors.y.stride(-2)),
        scratch_(scratch_bytes()) {
    const int64_t columns = round_up(keys_, kPanelColumns),
                  value_columns = round_up(value_size_, kPanelColumns);
    panels_ = {.keys = scratch_.take<int8_t>(columns * padded_size()),
               .key_sums = scratch_.take<int32_t>(columns),
               .start = scratch_.take<int32_t>(std::max(columns, value_columns)),
               .values = scratch_.take<int8_t>(value_columns * round_up(keys_, 4)),
               .value_sums = scratch_.take<int32_t>(value_columns),
               .scale = scratch_.take<float>(value_size_),
               .bias = scratch_.take<float>(value_size_)};
    zeros_ = scratch_.take<int32_t>(std::max(columns, value_columns));
    std::fill_n(zeros_, std::max(columns, value_columns), 0);
    std::fill_n(panels_.start, columns, 0);
    rows_ = {.x = scratch_.take<uint8_t>(block_ * padded_size()),
             .stride = padded_size(),
             .scale = scratch_.take<float>(block_),
             .zero_point = scratch_.take<int32_t>(block_)};
    std::fill_n(rows_.x, block_ * padded_size(), uint8_t{0});
    scores_ = scratch_.take<int32_t>(block_ * stride_);
    probabilities_ = scratch_.take<uint8_t>(2 * block_ * stride_);
    sums_ = scratch_.take<int32_t>(2 * block_ * value_size_);
    mask_buffer_ = scratch_.take<float>(mask_.buffer_size());
    gemm_scratch_ = scratch_.take<std::byte>(gemm_bytes());
  }

  void run(int64_t begin, int64_t end) {
    const int64_t per_head = call_.heads.shared() * queries_;
    while (begin < end) {
      const int64_t head = begin / per_head, first = begin % per_head;
      const int64_t count = std::min(per_head - first, end - begin);
      first_matrix_ = head * call_.heads.shared();
      is_defined_ = operands_.prepare(call_.heads.at(first_matrix_), panels_);
      const Blocks blocks(count, block_);
      int64_t row = first;
      for (int64_t b = 0; b < blocks.count; ++b) {
        const int64_t rows = b < blocks.larger ? blocks.size + 1 : blocks.size;
        run_block(row, rows);
        row += rows;
      }
      begin += count;
    }
  }

 private:
  int64_t padded_size() const { return round_up(size_, 4); }

  int64_t scratch_bytes() const {
    const int64_t columns = round_up(keys_, kPanelColumns),
                  value_columns = round_up(value_size_, kPanelColumns);
    const int64_t most_columns = std::max(columns, value_columns);
    return Scratch::bytes<int8_t>(columns * padded_size()) + Scratch::bytes<int32_t>(columns) +
           2 * Scratch::bytes<int32_t>(most_columns) +
           Scratch::bytes<int8_t>(value_columns * round_up(keys_, 4)) +
           Scratch::bytes<int32_t>(value_columns) + 2 * Scratch::bytes<float>(value_size_) +
           Scratch::bytes<uint8_t>(block_ * padded_size()) + 2 * Scratch::bytes<float>(block_) +
           Scratch::bytes<int32_t>(block_ * stride_) +
           Scratch::bytes<uint8_t>(2 * block_ * stride_) +
           Scratch::bytes<int32_t>(2 * block_ * value_size_) +
           Scratch::bytes<float>(mask_.buffer_size()) + Scratch::bytes<std::byte>(gemm_bytes());
  }

  int64_t gemm_bytes() const {
    return std::max(gemm::scratch_size(score_args(), block_),
                    gemm::scratch_size(value_args(round_up(keys_, 4)), 2 * block_));
  }

  // Rows of a block that lie in one matrix.
  struct Run {
    Places place;
    int64_t query, count;
    int64_t slot;  // of the first one in the block
  };

  void find_runs(int64_t row, int64_t rows) {
    runs_.clear();
    for (int64_t slot = 0; slot < rows; slot += runs_.back().count) {
      const int64_t matrix = (row + slot) / queries_, query = (row + slot) % queries_;
      runs_.push_back({.place = call_.heads.at(first_matrix_ + matrix),
                       .query = query,
                       .count = std::min(queries_ - query, rows - slot),
                       .slot = slot});
    }
  }

  // How many keys a query sees.
  int64_t visible(int64_t query) const {
    return call_.is_causal ? std::min(query + 1, keys_) : keys_;
  }

  OutputRow output(const Run& run, int64_t i) const {
    return {.data = y_ + (run.place.y + (run.query + i) * y_stride_) * y_bytes_,
            .n = value_size_,
            .requantize = is_float_ ? nullptr : &call_.requantize};
  }

  void run_block(int64_t row, int64_t rows) {
    find_runs(row, rows);
    if (!is_defined_) {
      return for_rows([&](const Run& run, int64_t i) { output(run, i).fill(kNan); });
    }
    int64_t keys = 0;
    for (const Run& run : runs_) {
      operands_.load(run.place, run.query, run.count,
                     {.x = rows_.x + run.slot * rows_.stride,
                      .stride = rows_.stride,
                      .scale = rows_.scale + run.slot,
                      .zero_point = rows_.zero_point + run.slot});
      keys = std::max(keys, visible(run.query + run.count - 1));
    }
    multiply_keys(rows, keys);
    int64_t totals[kMaxBlockRows];
    for_rows([&](const Run& run, int64_t i) {
      totals[run.slot + i] = find_probabilities(run, i, keys);
    });
    multiply_values(rows, keys);
    for_rows([&](const Run& run, int64_t i) {
      write(output(run, i), run.slot + i, totals[run.slot + i]);
    });
  }

  // f(run, i) for the rows i of each run.
  template <class F>
  void for_rows(const F& f) const {
    for (const Run& run : runs_) {
      for (int64_t i = 0; i < run.count; ++i) f(run, i);
    }
  }

  gemm::Args score_args() const {
    static constexpr int64_t kNoOffset = 0;
    gemm::Args args{};
    args.x = rows_.x;
    args.x_stride = rows_.stride;
    args.segment_offset = &kNoOffset;
    args.segments = 1;
    args.segment_size = size_;
    args.weight = panels_.keys;
    args.start = panels_.start;
    args.n = keys_;
    args.y = scores_;
    args.y_stride = stride_;
    args.sum_output = true;
    if (operands_.has_zero_points()) {
      args.row_factor = rows_.zero_point;
      args.column_factor = panels_.key_sums;
    }
    return args;
  }

  // keys: a multiple of 4.
  gemm::Args value_args(int64_t keys) const {
    gemm::Args args = score_args();
    args.x = probabilities_;
    args.x_stride = stride_;
    args.segment_size = keys;
    args.weight = panels_.values;
    args.panel_stride = gemm::panels_size(kPanelColumns, 1, keys_);
    args.start = zeros_;
    args.n = value_size_;
    args.y = sums_;
    args.y_stride = value_size_;
    args.row_factor = nullptr;
    return args;
  }

  void multiply_keys(int64_t rows, int64_t keys) const {
    static auto& multiply = select(gemm::kernels());
    if (size_ > 0) return multiply(score_args(), 0, rows, 0, keys, gemm_scratch_);
    for (int64_t i = 0; i < rows; ++i) std::fill_n(scores_ + i * stride_, keys, 0);
  }

  int64_t find_probabilities(const Run& run, int64_t i, int64_t keys) {
    static auto& find = select(attention::probabilities_kernels());
    const int64_t slot = run.slot + i, query = run.query + i;
    const float* mask = nullptr;
    if (mask_.exists()) mask = mask_.row(run.place.mask, query, mask_buffer_, mask_row_);
    uint8_t* const high = probabilities_ + 2 * slot * stride_;
    return find(scores_ + slot * stride_, rows_.scale[slot], mask, visible(query),
                round_up(keys, attention::kBlock), high, high + stride_);
  }

  void multiply_values(int64_t rows, int64_t keys) const {
    static auto& multiply = select(gemm::kernels());
    multiply(value_args(round_up(keys, 4)), 0, 2 * rows, 0, value_size_, gemm_scratch_);
  }

  void write(const OutputRow& y, int64_t slot, int64_t total) const {
    static auto& combine = select(attention::combine_kernels());
    static auto& combine_float = select(attention::combine_float_kernels());
    if (total <= 0) return y.fill(total == attention::kNanRow ? kNan : 0.0f);
    const auto multiplier = static_cast<float>(1 / static_cast<double>(total));
    const attention::Combine args = {panels_.scale, panels_.bias, call_.requantize};
    const int32_t* const high = sums_ + 2 * slot * value_size_;
    const int32_t* const low = high + value_size_;
    if (is_float_) {
      combine_float(args, high, low, multiplier, static_cast<float*>(y.data), y.n);
    } else {
      combine(args, high, low, multiplier, static_cast<uint8_t*>(y.data), y.n);
    }
  }

  const AttentionCall& call_;
  HeadOperands& operands_;
  int64_t queries_, keys_, size_, value_size_;
  int64_t stride_;  // between rows of scores and of probabilities
  int64_t block_;   // rows
  MaskRows mask_;
  bool is_float_;
  std::byte* y_;
  int64_t y_bytes_, y_stride_;
  HeadPanels panels_{};
  QueryRows rows_{};
  int32_t* zeros_ = nullptr;
  int32_t* scores_ = nullptr;
  uint8_t* probabilities_ = nullptr;  // of a row the high bytes, then the low ones
  int32_t* sums_ = nullptr;
  float* mask_buffer_ = nullptr;
  std::byte* gemm_scratch_ = nullptr;
  int64_t mask_row_ = -1;
  c10::SmallVector<Run, 4> runs_;
  int64_t first_matrix_ = 0;
  bool is_defined_ = true;
  Scratch scratch_;
};

// Keys that queries [0, end) of a matrix see.
int64_t sum_visible(int64_t end, int64_t keys, bool is_causal) {
  if (!is_causal) return end * keys;
  const int64_t growing = std::min(end, keys);
  return growing * (growing + 1) / 2 + (end - growing) * keys;
}

}  // namespace

void run_attention_rows(const AttentionCall& call, HeadOperands& operands, int64_t begin,
                        int64_t end) {
  if (begin < end) HeadRows(call, operands).run(begin, end);
}

AttentionTasks::AttentionTasks(const AttentionCall& call)
    : queries_(call.shape.queries),
      keys_(call.shape.keys),
      matrices_(call.heads.count()),
      is_causal_(call.is_causal) {
  const int64_t scores = matrices_ * sum_visible(queries_, keys_, is_causal_);
  count = count_tasks(scores * (call.shape.size + 2 * call.shape.value_size), kProductGrain);
}

int64_t AttentionTasks::begin(int64_t task) const {
  if (task == count) return matrices_ * queries_;
  const int64_t of_matrix = sum_visible(queries_, keys_, is_causal_);
  const int64_t target = part_of(matrices_ * of_matrix, count, task).begin;
  const int64_t rest = target % of_matrix;
  int64_t low = 0, high = queries_;  // the last query that at most `rest` keys come before
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (sum_visible(middle, keys_, is_causal_) <= rest ? low : high) = middle;
  }
  return target / of_matrix * queries_ + low;
}

void fill_attention(const AttentionCall& call) {
  at::Tensor y = call.tensors.y;
  const OutputRow all = {.data = y.mutable_data_ptr(),
                         .n = y.numel(),
                         .requantize = y.scalar_type() == at::kFloat ? nullptr : &call.requantize};
  all.fill(0);
}

}  // namespace qnative::ops
