#include "rnn/checks.h"

#include <string>

#include "common/checks.h"
#include "common/layout.h"
#include "gemm_fp16/gemm_fp16.h"
#include "product/weight.h"
#include "qnative/limits.h"

namespace qnative::ops {
namespace {

std::string item(const char* list, int64_t i) {
  return std::string(list) + "[" + std::to_string(i) + "]";
}

void check_float(const Recurrence& net, const char* name, const at::Tensor& tensor,
                 at::DeviceType device) {
  check_tensor(net.op, name, tensor, device);
  check_dtype(net.op, name, tensor, at::kFloat);
}

void check_count(const Recurrence& net, const char* list, size_t count, int64_t wanted) {
  TORCH_CHECK(static_cast<int64_t>(count) == wanted, "qnative::", net.op, ": ", list, " must have ",
              wanted, " tensors, got ", count);
}

void check_sizes(const Recurrence& net) {
  const auto in_range = [](int64_t size, int64_t least) {
    return size >= least && size <= kMaxProductsU8S8;
  };
  TORCH_CHECK(in_range(net.shape.input_size, 1), "qnative::", net.op,
              ": input_size must be in [1, ", kMaxProductsU8S8, "], got ", net.shape.input_size);
  TORCH_CHECK(in_range(net.shape.hidden_size, 1), "qnative::", net.op,
              ": hidden_size must be in [1, ", kMaxProductsU8S8, "], got ", net.shape.hidden_size);
  TORCH_CHECK(net.cell == Cell::kLstm || net.shape.proj_size == 0, "qnative::", net.op,
              ": proj_size is for lstm, got ", net.shape.proj_size);
  TORCH_CHECK(net.shape.proj_size >= 0 && net.shape.proj_size < net.shape.hidden_size,
              "qnative::", net.op, ": proj_size must be in [0, hidden_size), got ",
              net.shape.proj_size);
  TORCH_CHECK(net.shape.num_layers >= 1 && net.shape.num_layers < (1 << 20), "qnative::", net.op,
              ": num_layers must be in [1, 2^20), got ", net.shape.num_layers);
}

// float32 [n]
void check_vector(const Recurrence& net, const char* list, int64_t i, const at::Tensor& vector,
                  int64_t n, at::DeviceType device) {
  const std::string name = item(list, i);
  check_float(net, name.c_str(), vector, device);
  TORCH_CHECK(vector.dim() == 1 && vector.sym_size(0) == n, "qnative::", net.op, ": ", name,
              " must have shape [", n, "], got ", vector.sym_sizes());
}

void check_weight(const Recurrence& net, int64_t i, int64_t n, int64_t k, at::DeviceType device) {
  const std::string name = item("weights", i);
  const at::Tensor& weight = net.weights.packed[i];
  const at::ScalarType dtype = net.weights.packed.front().scalar_type();
  check_tensor(net.op, name.c_str(), weight, device);
  check_dtype(net.op, name.c_str(), weight, dtype);
  const bool is_int8 = dtype == at::kChar;
  const int64_t size =
      is_int8 ? WeightLayout{1, n, 1, k}.group_bytes() : gemm_fp16::packed_size(n, k);
  TORCH_CHECK(weight.dim() == 1 && weight.sym_size(0) == size && weight.is_contiguous(),
              "qnative::", net.op, ": ", name, " must be a packed weight [", n, ", ", k, "] of ",
              size, " contiguous elements, got shape ", weight.sym_sizes(), " and strides ",
              weight.sym_strides());
  if (is_int8) check_vector(net, "weight_scales", i, net.weights.scales[i], n, device);
}

void check_net(const Recurrence& net, at::DeviceType device) {
  check_sizes(net);
  const int64_t directions = net.states();
  const int64_t per_direction = net.weights_per_direction();
  const int64_t gates = net.gates() * net.shape.hidden_size;
  check_count(net, "weights", net.weights.packed.size(), directions * per_direction);
  check_tensor(net.op, "weights[0]", net.weights.packed.front(), device);
  const at::ScalarType dtype = net.weights.packed.front().scalar_type();
  TORCH_CHECK(dtype == at::kChar || dtype == at::kHalf, "qnative::", net.op,
              ": weights must be Char or Half, got ", dtype);
  check_count(net, "weight_scales", net.weights.scales.size(),
              dtype == at::kChar ? directions * per_direction : 0);
  const bool has_biases = !net.weights.biases.empty();
  if (has_biases) check_count(net, "biases", net.weights.biases.size(), 2 * directions);
  for (int64_t i = 0; i < directions; ++i) {
    const int64_t input_size =
        i < net.directions() ? net.shape.input_size : net.directions() * net.output_size();
    TORCH_CHECK(input_size <= kMaxProductsU8S8, "qnative::", net.op, ": at most ", kMaxProductsU8S8,
                " products can be summed in int32, got ", input_size, " from both directions");
    check_weight(net, i * per_direction, gates, input_size, device);
    check_weight(net, i * per_direction + 1, gates, net.output_size(), device);
    if (net.shape.proj_size > 0) {
      check_weight(net, i * per_direction + 2, net.shape.proj_size, net.shape.hidden_size, device);
    }
    for (int64_t j = 2 * i; j < 2 * i + 2 && has_biases; ++j) {
      check_vector(net, "biases", j, net.weights.biases[j], gates, device);
    }
  }
}

// `valid`: whether the number of dimensions is. `form` lists the valid shapes.
template <class Int>
void check_input(const Recurrence& net, const char* name, const at::Tensor& x, bool valid,
                 const char* form) {
  TORCH_CHECK(valid && at::symint::sizes<Int>(x).back() == net.shape.input_size,
              "qnative::", net.op, ": ", name, " must be ", form, " with input_size ",
              net.shape.input_size, ", got ", at::symint::sizes<Int>(x));
}

// [*leading, size]
template <class Int>
void check_state(const Recurrence& net, const char* name, const std::optional<at::Tensor>& state,
                 at::ArrayRef<Int> leading, int64_t size, at::DeviceType device) {
  if (!state) return;
  check_float(net, name, *state, device);
  Dims<Int> wanted(leading.begin(), leading.end());
  wanted.push_back(Int(size));
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(*state);
  TORCH_CHECK(sizes == at::ArrayRef<Int>(wanted), "qnative::", net.op, ": ", name,
              " must have shape ", at::ArrayRef<Int>(wanted), ", got ", sizes);
}

}  // namespace

template <class Int>
SequenceShape<Int> check_sequence(const Recurrence& net, const at::Tensor& x,
                                  const RecurrentState& first, bool batch_first,
                                  at::DeviceType device) {
  check_float(net, "x", x, device);
  check_net(net, device);
  const int64_t rank = x.dim();
  check_input<Int>(net, "x", x, rank == 2 || rank == 3,
                   batch_first ? "[B, T, input_size] or [T, input_size]"
                               : "[T, B, input_size] or [T, input_size]");
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  SequenceShape<Int> shape{sizes[0], Int(1), rank == 3};
  if (shape.batched) {
    shape.steps = sizes[batch_first ? 1 : 0];
    shape.batch = sizes[batch_first ? 0 : 1];
  }
  TORCH_CHECK(shape.steps > 0, "qnative::", net.op, ": x must have at least one time step, got ",
              sizes);
  const Int states[] = {Int(net.states()), shape.batch};
  const at::ArrayRef<Int> leading(states, shape.batched ? 2 : 1);
  check_state<Int>(net, "h0", first.h, leading, net.output_size(), device);
  check_state<Int>(net, "c0", first.c, leading, net.shape.hidden_size, device);
  return shape;
}

template <class Int>
Int check_packed_sequence(const Recurrence& net, const PackedSequence& x,
                          const RecurrentState& first, at::DeviceType device) {
  const auto& [data, batch_sizes] = x;
  const at::Tensor h0 = first.h.value_or(at::Tensor());
  check_float(net, "data", data, device);
  check_tensor(net.op, "batch_sizes", batch_sizes, device);
  check_dtype(net.op, "batch_sizes", batch_sizes, at::kLong);
  check_net(net, device);
  check_input<Int>(net, "data", data, data.dim() == 2, "[rows, input_size]");
  TORCH_CHECK(batch_sizes.dim() == 1 && batch_sizes.sym_size(0) > 0, "qnative::", net.op,
              ": batch_sizes must be [T] with T > 0, got ", batch_sizes.sym_sizes());
  check_float(net, "h0", h0, device);
  TORCH_CHECK(h0.dim() == 3, "qnative::", net.op,
              ": h0 must be [layers * directions, B, features], got ", h0.sym_sizes());
  const Int batch = at::symint::sizes<Int>(h0)[1];
  const Int leading[] = {Int(net.states()), batch};
  check_state<Int>(net, "h0", first.h, leading, net.output_size(), device);
  check_state<Int>(net, "c0", first.c, leading, net.shape.hidden_size, device);
  return batch;
}

at::DimVector check_batch_sizes(const Recurrence& net, const at::Tensor& batch_sizes, int64_t rows,
                                int64_t batch) {
  const auto dense = batch_sizes.expect_contiguous();
  const at::IntArrayRef sizes(dense->const_data_ptr<int64_t>(), dense->numel());
  at::DimVector offsets{0};
  int64_t before = batch;
  for (const int64_t size : sizes) {
    TORCH_CHECK(size > 0 && size <= before, "qnative::", net.op,
                ": batch_sizes must be positive and not increase from the batch of h0, ", batch,
                ", on; got ", size, " after ", before);
    before = size;
    TORCH_CHECK(size <= rows - offsets.back(), "qnative::", net.op,
                ": batch_sizes must add up to the rows of data, ", rows, ", got more");
    offsets.push_back(offsets.back() + size);
  }
  TORCH_CHECK(sizes.front() == batch, "qnative::", net.op,
              ": batch_sizes must begin with the batch of h0, ", batch, ", got ", sizes.front());
  TORCH_CHECK(offsets.back() == rows, "qnative::", net.op,
              ": batch_sizes must add up to the rows of data, ", rows, ", got ", offsets.back());
  return offsets;
}

template <class Int>
SequenceShape<Int> check_cell(const Recurrence& net, const at::Tensor& x,
                              const RecurrentState& state, at::DeviceType device) {
  TORCH_CHECK(net.states() == 1 && net.shape.proj_size == 0, "qnative::", net.op,
              ": a cell has one layer, one direction and no projection, got num_layers ",
              net.shape.num_layers, ", bidirectional ", net.shape.bidirectional, " and proj_size ",
              net.shape.proj_size);
  check_float(net, "x", x, device);
  check_net(net, device);
  const int64_t rank = x.dim();
  check_input<Int>(net, "x", x, rank == 1 || rank == 2, "[B, input_size] or [input_size]");
  const SequenceShape<Int> shape{Int(1), rank == 2 ? at::symint::sizes<Int>(x)[0] : Int(1),
                                 rank == 2};
  const at::ArrayRef<Int> leading(&shape.batch, shape.batched ? 1 : 0);
  check_state<Int>(net, "h", state.h, leading, net.shape.hidden_size, device);
  check_state<Int>(net, "c", state.c, leading, net.shape.hidden_size, device);
  return shape;
}

#define QNATIVE_INSTANTIATE(Int)                                                           \
  template SequenceShape<Int> check_sequence(const Recurrence&, const at::Tensor&,         \
                                             const RecurrentState&, bool, at::DeviceType); \
  template Int check_packed_sequence(const Recurrence&, const PackedSequence&,             \
                                     const RecurrentState&, at::DeviceType);               \
  template SequenceShape<Int> check_cell(const Recurrence&, const at::Tensor&,             \
                                         const RecurrentState&, at::DeviceType);
QNATIVE_INSTANTIATE(int64_t)
QNATIVE_INSTANTIATE(c10::SymInt)
#undef QNATIVE_INSTANTIATE

}  // namespace qnative::ops
