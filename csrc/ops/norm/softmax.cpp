#include <torch/library.h>

#include <cstring>

#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "fp16/fp16.h"
#include "lookup/lookup.h"
#include "norm/norm.h"
#include "product/channel_params.h"
#include "qnative/ops/fp16.h"
#include "qnative/ops/norm.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kSoftmaxGrain = 16 * 1024;  // elements a task
constexpr int64_t kRowCost = 256;             // elements that a row's table is worth

int64_t check_dim(const char* op, const at::Tensor& x, int64_t dim) {
  // As in torch, a tensor of no dimensions takes 0 and -1.
  const int64_t end = std::max<int64_t>(x.dim(), 1);
  TORCH_CHECK(dim >= -end && dim < end, "qnative::", op, ": dim must be in [", -end, ", ", end - 1,
              "], got ", dim);
  return dim < 0 ? dim + end : dim;
}

int64_t check_softmax(const at::Tensor& x, double x_scale, int64_t x_zero_point, int64_t dim,
                      at::DeviceType device) {
  check_8bit("softmax", "x", x, device);
  check_qparams("softmax", "x_", x_scale, x_zero_point, x.scalar_type());
  return check_dim("softmax", x, dim);
}

// Softmax of a row. Its values depend on the byte alone, once the sum of the row is known.
class RowSoftmax {
 public:
  RowSoftmax(double x_scale, uint8_t flip, const OutputSpec& output)
      : flip_(flip),
        y_scale_(output.qparams.scale),
        requantize_(output.is_float() ? Requantize{} : make_requantize(output)) {
    norm::make_exponentials(x_scale, e_);
  }

  void operator()(const uint8_t* x, uint8_t* y, int64_t n) const {
    static auto& quantize = select(quantize::quantize_kernels());
    static auto& lookup = select(lookup::kernels());
    const Row row = sum(x, n);
    uint8_t values[kSize] = {}, table[kSize];
    quantize(e_.value + 255 - row.largest, values, row.largest + 1, row.multiplier, requantize_);
    std::memcpy(table, values + flip_, kSize - flip_);
    std::memcpy(table + kSize - flip_, values, flip_);
    lookup(x, y, n, table);
  }
  void operator()(const uint8_t* x, float* y, int64_t n) const {
    static auto& run = select(norm::exponentials_kernels());
    const Row row = sum(x, n);
    run(e_, x, y, n, flip_, row.largest, row.multiplier);
  }

 private:
  static constexpr int64_t kSize = 256;
  struct Row {
    uint8_t largest;
    float multiplier;
  };

  Row sum(const uint8_t* x, int64_t n) const {
    static auto& largest = select(norm::largest_kernels());
    static auto& sum_exponentials = select(norm::sum_exponentials_kernels());
    const uint8_t most = largest(x, n, flip_);
    const auto total = static_cast<double>(sum_exponentials(e_, x, n, flip_, most));
    return {most, static_cast<float>(0x1p31 / (total * y_scale_))};
  }

  uint8_t flip_;
  double y_scale_;
  Requantize requantize_;
  norm::Exponentials e_;
};

// run(x, y, n) for the rows of n elements along `dim` of x and y, which is not empty. row_cost:
// what a row costs besides its elements, in elements.
template <class X, class Y, class F>
void run_rows(const at::Tensor& x, int64_t dim, const at::Tensor& y, int64_t row_cost,
              const F& run) {
  const at::Tensor rows = x.dim() == 0 ? x : x.movedim(dim, -1).contiguous();
  const at::Tensor target = y.dim() == 0 ? y : y.movedim(dim, -1);
  const at::Tensor dense = target.is_contiguous() ? target : empty(target.sizes(), y.scalar_type());
  const int64_t n = x.dim() == 0 ? 1 : x.size(dim);
  const auto* from = static_cast<const X*>(rows.const_data_ptr());
  auto* to = static_cast<Y*>(dense.mutable_data_ptr());
  run_parts(y.numel() / n, n + row_cost, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) run(from + row * n, to + row * n, n);
  });
  if (!dense.is_same(target)) target.copy_(dense);
}

at::Tensor softmax_meta(const at::Tensor& x, double x_scale, int64_t x_zero_point, int64_t dim,
                        double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  check_softmax(x, x_scale, x_zero_point, dim, at::kMeta);
  make_output("softmax", y_scale, y_zero_point, y_dtype, "none", {}, FloatOutput::kAllowed);
  return empty_elementwise_meta("softmax", {x}, y_dtype);
}

at::Tensor softmax_fp16_meta(const at::Tensor& x, int64_t dim) {
  check_half("softmax_fp16", "x", x, at::kMeta);
  check_dim("softmax_fp16", x, dim);
  return empty_elementwise_meta("softmax_fp16", {x}, at::kHalf);
}

}  // namespace

at::Tensor softmax(const at::Tensor& x, double x_scale, int64_t x_zero_point, int64_t dim,
                   double y_scale, int64_t y_zero_point, at::ScalarType y_dtype) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  dim = check_softmax(x, x_scale, x_zero_point, dim, at::kCPU);
  const OutputSpec output =
      make_output("softmax", y_scale, y_zero_point, y_dtype, "none", {}, FloatOutput::kAllowed);
  const at::Tensor y = empty_elementwise("softmax", {x}, y_dtype);
  if (y.numel() == 0) return y;
  const RowSoftmax run(x_scale, flip_of(x.scalar_type()), output);
  if (output.is_float()) {
    run_rows<uint8_t, float>(x, dim, y, kRowCost, run);
  } else {
    run_rows<uint8_t, uint8_t>(x, dim, y, kRowCost, run);
  }
  return y;
}

at::Tensor softmax_fp16(const at::Tensor& x, int64_t dim) {
  static auto& run = select(fp16::softmax_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_half("softmax_fp16", "x", x, at::kCPU);
  dim = check_dim("softmax_fp16", x, dim);
  const at::Tensor y = empty_elementwise("softmax_fp16", {x}, at::kHalf);
  if (y.numel() == 0) return y;
  run_rows<uint16_t, uint16_t>(x, dim, y, 0, [](const uint16_t* from, uint16_t* to, int64_t n) {
    const int64_t floats = n + fp16::kLanes;
    Scratch scratch(Scratch::bytes<float>(floats));
    run(from, to, n, scratch.take<float>(floats));
  });
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("softmax", TORCH_FN(softmax));
  m.impl("softmax_fp16", TORCH_FN(softmax_fp16));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("softmax", TORCH_FN(softmax_meta));
  m.impl("softmax_fp16", TORCH_FN(softmax_fp16_meta));
}

}  // namespace qnative::ops
