#include "rnn/recurrence.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "blocks.h"
#include "common/dispatch.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "common/rounds.h"
#include "rnn/projection.h"
#include "rnn_cell/rnn_cell.h"

namespace qnative::ops {
namespace {

// The products of the input are computed for several steps at once: for as many as stay in the
// cache, or for as many as the weights must be read for.
constexpr int64_t kChunkElements = 256 * 1024;
constexpr int64_t kChunkRows = 48;
constexpr int64_t kRestRows = 48;  // of the second product, at a time
// Columns that a product writes before the first unit of a part: those of its panel.
constexpr int64_t kLead = 16;
// The least work of a part of a round, in multiply-adds.
constexpr int64_t kRoundGrain = 1 << 16;
// Half precision takes that many times as long.
constexpr int64_t kHalfCost = 8;

int64_t panels(int64_t n) { return ceil_div(n, kPanelColumns); }

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

// How a layer is cut. A part of a round computes all gates of some hidden units
// for some rows: the same units in every round, so that a core keeps their weights.
struct Division {
  int64_t directions;  // at a time
  Grid grid;           // of each: parts of rows and of panels of units
  int64_t chunk_rows;  // of the input, at most

  int64_t parts() const { return grid.row_parts * grid.column_parts; }
};

Division divide_layer(const Recurrence& net, int64_t input_size, Steps offsets) {
  const int64_t batch = offsets[1] - offsets[0], columns = net.gates() * net.shape.hidden_size;
  const int64_t cost = columns * (net.weights.scales.empty() ? kHalfCost : 1);
  const int64_t of_layer =
      offsets.back() * (input_size + net.output_size()) * cost * net.directions();
  const int64_t of_round = batch * net.output_size() * cost * net.directions();
  const int64_t tasks =
      std::min(count_tasks(of_layer, kProductGrain), count_tasks(of_round, kRoundGrain));
  // One thread keeps the weights of one direction in its cache.
  const int64_t directions = tasks > 1 ? net.directions() : 1;
  const Grid grid = divide(tasks / directions, batch, net.output_size(),
                           panels(net.shape.hidden_size), net.gates() * 16 * net.output_size());
  const int64_t rows = std::max({batch, kChunkElements / columns, kChunkRows});
  return {directions, grid, std::min(rows, offsets.back())};
}

template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : scratch_(Scratch::bytes<T>(size)), data_(scratch_.take<T>(size)) {}
  T* operator+(int64_t i) const { return data_ + i; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  Scratch scratch_;
  T* data_;
};

struct RowsBuffer {
  RowsBuffer(int64_t count, int64_t k)
      : scratch(QuantizedRows::scratch_bytes(count, k)), rows(count, k, {}, scratch) {}
  Scratch scratch;
  QuantizedRows rows;
};

// One layer in one direction: its memory, and what a part does in each round.
class Direction {
 public:
  // index: of the direction among those of all layers. h, c: its states, [batch][size]. y: becomes
  // the state after each step, [rows][y_stride].
  Direction(const Recurrence& net, int64_t index, Steps offsets, const Division& division,
            const at::Tensor& x, float* h, float* c, float* y, int64_t y_stride)
      : net_(net),
        offsets_(offsets),
        is_reverse_(index % net.directions() == 1),
        batch_(offsets[1] - offsets[0]),
        gates_(net.gates() * net.shape.hidden_size),
        chunk_rows_(division.chunk_rows),
        grid_(division.grid),
        x_(x.const_data_ptr<float>()),
        x_stride_(x.size(1)),
        y_(y),
        y_stride_(y_stride),
        h_(h),
        c_(c),
        params_(2 * Projection::scratch_bytes(gates_) +
                Projection::scratch_bytes(net.output_size())),
        ih_(projection(index, 0, gates_, x_stride_)),
        hh_(projection(index, 1, gates_, net.output_size())),
        hr_(net.shape.proj_size > 0
                ? std::optional(projection(index, 2, net.shape.proj_size, net.shape.hidden_size))
                : std::nullopt),
        is_int8_(ih_.is_int8()),
        is_refined_(is_int8_ && net.candidate() >= 0),
        gate_stride_(grid_.column_parts == 1 ? net.shape.hidden_size : kLead + part_columns()),
        row_stride_(kLead + round_up(net.gates() * gate_stride_, kPanelColumns)),
        kernel_bytes_(std::max({ih_.kernel_bytes(chunk_rows_), hh_.kernel_bytes(batch_),
                                hr_ ? hr_->kernel_bytes(batch_) : 0})),
        input_(is_int8_ ? chunk_rows_ : 0, ih_.k()),
        rest_(is_refined_ ? chunk_rows_ : 0, ih_.k()),
        states_(is_int8_ ? grid_.column_parts * batch_ : 0, net.shape.hidden_size),
        rest_row_(is_refined_ ? chunk_rows_ : 0),
        rest_count_(division.parts()),
        rest_gate_(is_refined_ ? division.parts() * kRestRows * rest_stride() : 0),
        input_gates_(grid_.column_parts * chunk_rows_ * row_stride_),
        state_gates_(grid_.column_parts * batch_ * row_stride_),
        hidden_(hr_ ? batch_ * net.shape.hidden_size : 0),
        kernel_(division.parts() * kernel_bytes_) {}

  bool is_int8() const { return is_int8_; }
  bool projects() const { return hr_.has_value(); }

  // Rows of steps [first, first + count), which are counted in the order of this direction.
  int64_t rows_of(int64_t first, int64_t count) const {
    return offsets_[time_of(is_reverse_ ? first : first + count - 1) + 1] - first_row(first, count);
  }

  // The rounds of a chunk of the input.
  void prepare_input(int64_t first, int64_t count, int64_t part) const {
    const auto [begin, end] = prepared(rows_of(first, count), part);
    const ProjectionRows rows = input_rows(first, count);
    ih_.prepare(rows, begin, end);
    if (!is_refined_) return;
    Scratch scratch(Scratch::bytes<float>(ih_.k()));
    float* const rest = scratch.take<float>(ih_.k());
    int64_t next = begin;
    for (int64_t i = begin; i < end; ++i) {
      input_.rows.subtract(rows.x + i * rows.stride, ih_.k(), i, rest);
      rest_.rows.quantize(rest, ih_.k(), next);
      rest_row_[next++] = i;
    }
    rest_count_[part] = next - begin;
  }
  void project_input(int64_t first, int64_t count, int64_t part) const {
    const int64_t rows = rows_of(first, count);
    const auto [begin, end] = rows_of_part(rows, part);
    if (begin == end) return;
    project(ih_, input_rows(first, count), begin, end, part, input_gates(part));
    if (is_refined_) refine(rows, part);
  }

  // The rounds of a step. base: the first row of its chunk.
  void advance(int64_t step, int64_t base, int64_t part) const {
    const auto [begin, end] = rows_of_part(rows_of(step, 1), part);
    if (begin == end) return;
    // The other rows begin here.
    const int64_t going = step == 0 ? 0 : std::min(rows_of(step - 1, 1), rows_of(step, 1));
    if (begin < going) {
      const float* const last = y_ + first_row(step - 1, 1) * y_stride_;
      advance_rows(step, base, last, y_stride_, begin, std::min(end, going), part);
    }
    if (end > going) {
      advance_rows(step, base, h_, net_.output_size(), std::max(begin, going), end, part);
    }
  }
  void project_state(int64_t step, int64_t part) const {
    const auto [begin, end] = rows_of_part(rows_of(step, 1), part);
    const Part columns =
        part_of(panels(net_.shape.proj_size), grid_.column_parts, part % grid_.column_parts);
    if (begin == end || columns.begin == columns.end) return;
    const ProjectionRows rows = state_rows(hidden_ + 0, net_.shape.hidden_size, part);
    hr_->prepare(rows, begin, end);
    hr_->run(rows, begin, end, 16 * columns.begin, std::min(16 * columns.end, net_.shape.proj_size),
             y_ + first_row(step, 1) * y_stride_ + 16 * columns.begin, y_stride_, kernel(part));
  }

  // After all rounds: of each row the last state.
  void keep_states() const {
    const auto steps = static_cast<int64_t>(offsets_.size()) - 1;
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t i = step + 1 < steps ? rows_of(step + 1, 1) : 0; i < rows_of(step, 1); ++i) {
        std::memcpy(h_ + i * net_.output_size(), y_ + (first_row(step, 1) + i) * y_stride_,
                    net_.output_size() * sizeof(float));
      }
    }
  }

  int64_t first_row(int64_t first, int64_t count) const {
    return offsets_[time_of(is_reverse_ ? first + count - 1 : first)];
  }

 private:
  Projection projection(int64_t index, int64_t which, int64_t n, int64_t k) {
    const int64_t weight = index * net_.weights_per_direction() + which;
    const bool has_bias = which < 2 && !net_.weights.biases.empty();
    return Projection(net_.op, n, k, net_.weights.packed[weight],
                      net_.weights.scales.empty() ? at::Tensor() : net_.weights.scales[weight],
                      has_bias ? net_.weights.biases[index * 2 + which] : at::Tensor(), params_);
  }

  int64_t time_of(int64_t step) const {
    return is_reverse_ ? static_cast<int64_t>(offsets_.size()) - 2 - step : step;
  }

  // The rows of a part, those that it prepares for all parts with these rows, and its units.
  Part rows_of_part(int64_t rows, int64_t part) const {
    return part_of(rows, grid_.row_parts, part / grid_.column_parts);
  }
  Part prepared(int64_t rows, int64_t part) const {
    const auto [begin, end] = rows_of_part(rows, part);
    const Part share = part_of(end - begin, grid_.column_parts, part % grid_.column_parts);
    return {begin + share.begin, begin + share.end};
  }
  Part units_of(int64_t part) const {
    const Part share =
        part_of(panels(net_.shape.hidden_size), grid_.column_parts, part % grid_.column_parts);
    return {16 * share.begin, std::min(16 * share.end, net_.shape.hidden_size)};
  }

  ProjectionRows input_rows(int64_t first, int64_t count) const {
    return {x_ + first_row(first, count) * x_stride_, x_stride_, input_.rows};
  }
  // Parts with the same rows quantize them each for itself, which takes less than to wait.
  ProjectionRows state_rows(const float* x, int64_t stride, int64_t part) const {
    return {x, stride, states_.rows, part % grid_.column_parts * batch_};
  }

  // Where the gates of a part's units begin, [rows][row_stride], a gate after gate_stride. Parts do
  // not share memory: columns of gates begin within a panel, and a product writes all columns of a
  // panel.
  float* input_gates(int64_t part) const {
    return input_gates_ + (part % grid_.column_parts * chunk_rows_ * row_stride_ + kLead);
  }
  float* state_gates(int64_t part) const {
    return state_gates_ + (part % grid_.column_parts * batch_ * row_stride_ + kLead);
  }
  std::byte* kernel(int64_t part) const { return kernel_ + part * kernel_bytes_; }
  // The most columns of a gate that a part has.
  int64_t part_columns() const {
    return 16 * ((panels(net_.shape.hidden_size) + grid_.column_parts - 1) / grid_.column_parts);
  }
  int64_t rest_stride() const { return kLead + part_columns(); }

  // All gates of the units of a part.
  void project(const Projection& projection, const ProjectionRows& rows, int64_t begin, int64_t end,
               int64_t part, float* gates) const {
    if (grid_.column_parts == 1) {
      return projection.run(rows, begin, end, 0, gates_, gates, row_stride_, kernel(part));
    }
    const Part units = units_of(part);
    for (int64_t n = units.begin; n < gates_; n += net_.shape.hidden_size, gates += gate_stride_) {
      const int64_t lead = n % 16;
      projection.run(rows, begin, end, n - lead, n + units.end - units.begin, gates - lead,
                     row_stride_, kernel(part));
    }
  }

  // Rounding the input to 8 bits is most of the error of a layer, and nearly all of that comes
  // through the candidate: that gate gets the rest of the input as well.
  void refine(int64_t rows, int64_t part) const {
    const Part units = units_of(part);
    const int64_t n = net_.candidate() * net_.shape.hidden_size + units.begin, lead = n % 16;
    float* const sums = rest_gate_ + part * kRestRows * rest_stride();
    float* const gates = input_gates(part) + net_.candidate() * gate_stride_;
    const int64_t first = part / grid_.column_parts * grid_.column_parts;
    for (int64_t group = first; group < first + grid_.column_parts; ++group) {
      const int64_t group_begin = prepared(rows, group).begin;
      const int64_t group_end = group_begin + rest_count_[group];
      for (int64_t begin = group_begin; begin < group_end; begin += kRestRows) {
        const int64_t count = std::min(kRestRows, group_end - begin);
        ih_.run_rest(rest_.rows, begin, count, n - lead, n + units.end - units.begin, sums,
                     rest_stride(), kernel(part));
        for (int64_t i = 0; i < count; ++i) {
          const float* const sum = sums + i * rest_stride() + lead;
          float* const gate = gates + rest_row_[begin + i] * row_stride_;
          for (int64_t j = 0; j < units.end - units.begin; ++j) gate[j] += sum[j];
        }
      }
    }
  }

  // Rows [begin, end) from their state h on.
  void advance_rows(int64_t step, int64_t base, const float* h, int64_t h_stride, int64_t begin,
                    int64_t end, int64_t part) const {
    const ProjectionRows rows = state_rows(h, h_stride, part);
    hh_.prepare(rows, begin, end);
    project(hh_, rows, begin, end, part, state_gates(part));
    const int64_t row = first_row(step, 1);
    const auto [unit, units_end] = units_of(part);
    const rnn_cell::Args args{.ih = input_gates(part) + (row - base) * row_stride_,
                              .hh = state_gates(part),
                              .c = c_ + unit,
                              .h = h + unit,
                              .y = (hr_ ? hidden_ + 0 : y_ + row * y_stride_) + unit,
                              .ih_stride = row_stride_,
                              .hh_stride = row_stride_,
                              .c_stride = net_.shape.hidden_size,
                              .h_stride = h_stride,
                              .y_stride = hr_ ? net_.shape.hidden_size : y_stride_,
                              .gate_stride = gate_stride_,
                              .hidden = units_end - unit};
    cell_kernel(net_.cell)(args, begin, end);
  }

  const Recurrence& net_;
  Steps offsets_;
  bool is_reverse_;
  int64_t batch_, gates_, chunk_rows_;
  Grid grid_;
  const float* x_;
  int64_t x_stride_;
  float* y_;
  int64_t y_stride_;
  float *h_, *c_;
  Scratch params_;
  Projection ih_, hh_;
  std::optional<Projection> hr_;
  bool is_int8_, is_refined_;
  int64_t gate_stride_, row_stride_, kernel_bytes_;
  RowsBuffer input_, rest_, states_;
  Buffer<int64_t> rest_row_, rest_count_;
  Buffer<float> rest_gate_, input_gates_, state_gates_, hidden_;
  Buffer<std::byte> kernel_;
};

using Directions = std::optional<Direction>[2];

// The directions of a division, in step with each other.
void run(const Directions& directions, const Division& division, int64_t steps) {
  const Direction& any = *directions[0];
  run_rounds(division.directions * division.parts(), [&](RoundsTask& task) {
    const auto round = [&](auto run_part) {
      task.run([&](int64_t part) {
        run_part(*directions[part / division.parts()], part % division.parts());
      });
    };
    const auto fits = [&](int64_t first, int64_t count) {
      return std::all_of(directions, directions + division.directions, [&](const auto& direction) {
        return direction->rows_of(first, count) <= division.chunk_rows;
      });
    };
    for (int64_t first = 0, count = 1; first < steps; first += count) {
      for (count = 1; first + count < steps && fits(first, count + 1);) ++count;
      if (any.is_int8()) {
        round([&](const Direction& d, int64_t part) { d.prepare_input(first, count, part); });
      }
      round([&](const Direction& d, int64_t part) { d.project_input(first, count, part); });
      for (int64_t step = first; step < first + count; ++step) {
        round([&](const Direction& d, int64_t part) {
          d.advance(step, d.first_row(first, count), part);
        });
        if (!any.projects()) continue;
        round([&](const Direction& d, int64_t part) { d.project_state(step, part); });
      }
    }
  });
}

}  // namespace

at::Tensor run_recurrence(const Recurrence& net, const at::Tensor& x, Steps offsets,
                          const at::Tensor& h, const at::Tensor& c) {
  const int64_t batch = offsets[1] - offsets[0], width = net.directions() * net.output_size();
  at::Tensor input = x;
  for (int64_t layer = 0; layer < net.shape.num_layers; ++layer) {
    at::Tensor y = empty({offsets.back(), width}, at::kFloat);
    const Division division = divide_layer(net, input.size(1), offsets);
    for (int64_t first = 0; first < net.directions(); first += division.directions) {
      Directions directions;
      for (int64_t i = 0; i < division.directions; ++i) {
        const int64_t d = first + i, index = layer * net.directions() + d;
        float* const cell =
            c.defined() ? c.mutable_data_ptr<float>() + index * batch * net.shape.hidden_size
                        : nullptr;
        directions[i].emplace(net, index, offsets, division, input,
                              h.mutable_data_ptr<float>() + index * batch * net.output_size(), cell,
                              y.mutable_data_ptr<float>() + d * net.output_size(), width);
      }
      if (batch == 0) continue;
      run(directions, division, static_cast<int64_t>(offsets.size()) - 1);
      for (int64_t i = 0; i < division.directions; ++i) directions[i]->keep_states();
    }
    input = y;
  }
  return input;
}

}  // namespace qnative::ops
