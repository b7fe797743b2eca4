#include "recurrence.h"

#include <algorithm>
#include <cstring>

#include "dispatch.h"
#include "output.h"
#include "parallel.h"
#include "projection.h"
#include "rnn_cell/rnn_cell.h"

namespace qnative::ops {
namespace {

// The products of the input are computed for several steps at once: for as many as stay in the
// cache, or for as many as the weights must be read for.
constexpr int64_t kChunkElements = 256 * 1024;
constexpr int64_t kChunkRows = 48;
constexpr int64_t kCellGrain = 16 * 1024;  // elements of the state

rnn_cell::Fn& cell_kernel(Cell cell) {
  switch (cell) {
    case Cell::kLstm: {
      static auto& run = select(rnn_cell::lstm_kernels());
      return run;
    }
    case Cell::kGru: {
      static auto& run = select(rnn_cell::gru_kernels());
      return run;
    }
    case Cell::kRnnTanh: {
      static auto& run = select(rnn_cell::rnn_tanh_kernels());
      return run;
    }
    case Cell::kRnnRelu:
      break;
  }
  static auto& run = select(rnn_cell::rnn_relu_kernels());
  return run;
}

// One layer in one direction.
class Direction {
 public:
  // index: of the direction among those of all layers. h, c: its states, [batch][size].
  Direction(const Recurrence& net, int64_t index, int64_t input_size, Steps offsets, float* h,
            float* c)
      : net_(net),
        offsets_(offsets),
        is_reverse_(index % net.directions() == 1),
        batch_(offsets[1] - offsets[0]),
        gates_(net.gates() * net.hidden_size),
        chunk_rows_(
            std::min(std::max({batch_, kChunkElements / gates_, kChunkRows}), offsets.back())),
        h_(h),
        c_(c),
        params_(2 * Projection::scratch_bytes(gates_) +
                Projection::scratch_bytes(net.output_size())),
        ih_(projection(index, 0, gates_, input_size)),
        hh_(projection(index, 1, gates_, net.output_size())),
        hr_(net.proj_size > 0 ? std::optional(projection(index, 2, net.proj_size, net.hidden_size))
                              : std::nullopt),
        sizes_(workspace_sizes()),
        scratch_(sizes_.scratch_bytes() + Scratch::bytes<float>((chunk_rows_ + batch_) * gates_) +
                 Scratch::bytes<float>(batch_ * net.hidden_size)),
        workspace_(sizes_, scratch_),
        input_gates_(scratch_.take<float>((chunk_rows_ + batch_) * gates_)),
        hidden_gates_(input_gates_ + chunk_rows_ * gates_),
        hidden_(scratch_.take<float>(batch_ * net.hidden_size)) {}

  // x: [rows][input_size]. Writes the state after each step to y, [rows][y_stride].
  void run(const float* x, int64_t x_stride, float* y, int64_t y_stride) const {
    const int64_t steps = static_cast<int64_t>(offsets_.size()) - 1;
    for (int64_t done = 0; done < steps;) {
      int64_t count = 1;
      while (done + count < steps && rows_of(done, count + 1) <= chunk_rows_) ++count;
      const int64_t base = first_row(done, count);
      ih_.run(x + base * x_stride, x_stride, 0, rows_of(done, count), input_gates_, gates_,
              workspace_);
      if (is_refined()) {
        const int64_t gate = net_.candidate() * net_.hidden_size;
        ih_.refine(x + base * x_stride, x_stride, 0, rows_of(done, count), gate,
                   gate + net_.hidden_size, input_gates_, gates_, workspace_);
      }
      run_steps(done, count, base, y, y_stride);
      done += count;
    }
  }

 private:
  Projection projection(int64_t index, int64_t which, int64_t n, int64_t k) {
    const int64_t weight = index * net_.weights_per_direction() + which;
    const bool has_bias = which < 2 && !net_.biases.empty();
    return Projection(net_.op, n, k, net_.weights[weight],
                      net_.weight_scales.empty() ? at::Tensor() : net_.weight_scales[weight],
                      has_bias ? net_.biases[index * 2 + which] : at::Tensor(), params_);
  }

  ProjectionSizes workspace_sizes() const {
    ProjectionSizes sizes;
    sizes.slots = at::get_num_threads();
    ih_.reserve(chunk_rows_, sizes);
    if (is_refined()) ih_.reserve_refinement(chunk_rows_, net_.hidden_size, sizes);
    hh_.reserve(batch_, sizes);
    if (hr_) hr_->reserve(batch_, sizes);
    return sizes;
  }

  // Rounding the input to 8 bits is most of the error of a layer, and nearly all of that comes
  // through the candidate: that gate gets the rest of the input as well.
  bool is_refined() const { return ih_.is_int8() && net_.candidate() >= 0; }

  // Steps are counted in the order of this direction.
  int64_t time_of(int64_t step) const {
    return is_reverse_ ? static_cast<int64_t>(offsets_.size()) - 2 - step : step;
  }
  int64_t first_row(int64_t step, int64_t count) const {
    return offsets_[time_of(is_reverse_ ? step + count - 1 : step)];
  }
  int64_t rows_of(int64_t step, int64_t count) const {
    return offsets_[time_of(is_reverse_ ? step : step + count - 1) + 1] - first_row(step, count);
  }

  // base: the row that the input gates begin with.
  void run_steps(int64_t first, int64_t count, int64_t base, float* y, int64_t y_stride) const {
    const auto run_rows = [&](int64_t begin, int64_t end, int64_t slot) {
      for (int64_t step = first; step < first + count; ++step) {
        const int64_t row = first_row(step, 1);
        const int64_t last = std::min(end, rows_of(step, 1));
        if (begin >= last) continue;
        advance(input_gates_ + (row - base) * gates_, begin, last, slot);
        for (int64_t i = begin; i < last; ++i) {
          std::memcpy(y + (row + i) * y_stride, h_ + i * net_.output_size(),
                      net_.output_size() * sizeof(float));
        }
      }
    };
    // Tasks with rows of their own do not wait for each other at each step, but each of them reads
    // all weights: that takes several rows to pay.
    constexpr int64_t kTaskRows = 8;
    const int64_t tasks = hh_.count_tasks(batch_);
    if (batch_ < kTaskRows * tasks) return run_rows(0, batch_, 0);
    run_tasks(tasks, [&](int64_t task) {
      const Part part = part_of(batch_, tasks, task);
      run_rows(part.begin, part.end, task);
    });
  }

  // Rows [begin, end) of the state, one step on.
  void advance(const float* input_gates, int64_t begin, int64_t end, int64_t slot) const {
    hh_.run(h_, net_.output_size(), begin, end, hidden_gates_, gates_, workspace_, slot);
    const rnn_cell::Args args{.ih = input_gates,
                              .hh = hidden_gates_,
                              .c = c_,
                              .h = hr_ ? hidden_ : h_,
                              .ih_stride = gates_,
                              .hh_stride = gates_,
                              .c_stride = net_.hidden_size,
                              .h_stride = net_.hidden_size,
                              .hidden = net_.hidden_size};
    rnn_cell::Fn& cell = cell_kernel(net_.cell);
    run_parts(end - begin, gates_, kCellGrain,
              [&](int64_t from, int64_t to) { cell(args, begin + from, begin + to); });
    if (hr_) {
      hr_->run(hidden_, net_.hidden_size, begin, end, h_, net_.proj_size, workspace_, slot);
    }
  }

  const Recurrence& net_;
  Steps offsets_;
  bool is_reverse_;
  int64_t batch_, gates_, chunk_rows_;
  float *h_, *c_;
  Scratch params_;
  Projection ih_, hh_;
  std::optional<Projection> hr_;
  ProjectionSizes sizes_;
  Scratch scratch_;
  ProjectionWorkspace workspace_;
  float *input_gates_, *hidden_gates_, *hidden_;
};

}  // namespace

at::Tensor run_recurrence(const Recurrence& net, const at::Tensor& x, Steps offsets,
                          const at::Tensor& h, const at::Tensor& c) {
  const int64_t batch = offsets[1] - offsets[0], width = net.directions() * net.output_size();
  at::Tensor input = x;
  for (int64_t layer = 0; layer < net.num_layers; ++layer) {
    at::Tensor y = empty({offsets.back(), width}, at::kFloat);
    const int64_t input_size = input.size(1);
    for (int64_t d = 0; d < net.directions(); ++d) {
      const int64_t index = layer * net.directions() + d;
      float* const state = h.mutable_data_ptr<float>() + index * batch * net.output_size();
      float* const cell =
          c.defined() ? c.mutable_data_ptr<float>() + index * batch * net.hidden_size : nullptr;
      const Direction direction(net, index, input_size, offsets, state, cell);
      if (batch == 0) continue;
      direction.run(input.const_data_ptr<float>(), input_size,
                    y.mutable_data_ptr<float>() + d * net.output_size(), width);
    }
    input = y;
  }
  return input;
}

}  // namespace qnative::ops
