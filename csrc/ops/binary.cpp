#include <ATen/TensorIterator.h>
#include <torch/library.h>

#include <cmath>
#include <cstring>

#include "checks.h"
#include "dispatch.h"
#include "elementwise/elementwise.h"
#include "epilogue.h"
#include "layout.h"
#include "parallel.h"
#include "qnative/ops.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 32 * 1024;  // elements a task
constexpr int64_t kChunk = 1024;       // elements that are made contiguous at a time

struct Operand {
  const at::Tensor& tensor;
  double scale;
  int64_t zero_point;
};

void check_binary(const char* op, const Operand& a, const Operand& b, at::DeviceType device) {
  check_8bit(op, "a", a.tensor, device);
  check_8bit(op, "b", b.tensor, device);
  check_qparams(op, "a_", a.scale, a.zero_point, a.tensor.scalar_type());
  check_qparams(op, "b_", b.scale, b.zero_point, b.tensor.scalar_type());
}

// n bytes `stride` apart, as contiguous bytes: x itself or `copy`.
const uint8_t* contiguous_bytes(const uint8_t* x, int64_t stride, int64_t n, uint8_t* copy) {
  if (stride == 1) return x;
  if (stride == 0) {
    std::memset(copy, *x, n);
  } else {
    for (int64_t i = 0; i < n; ++i) copy[i] = x[i * stride];
  }
  return copy;
}

void run_row(elementwise::Fn& run, const elementwise::Args& args, char* const* data,
             const int64_t* strides, int64_t n) {
  auto* y = reinterpret_cast<uint8_t*>(data[0]);
  const auto* a = reinterpret_cast<const uint8_t*>(data[1]);
  const auto* b = reinterpret_cast<const uint8_t*>(data[2]);
  if (strides[0] == 1 && strides[1] == 1 && strides[2] == 1) return run(args, a, b, y, n);
  uint8_t a_copy[kChunk], b_copy[kChunk], y_copy[kChunk];
  for (int64_t i = 0; i < n; i += kChunk) {
    const int64_t size = std::min(kChunk, n - i);
    uint8_t* const to = strides[0] == 1 ? y + i : y_copy;
    run(args, contiguous_bytes(a + i * strides[1], strides[1], size, a_copy),
        contiguous_bytes(b + i * strides[2], strides[2], size, b_copy), to, size);
    for (int64_t j = 0; to == y_copy && j < size; ++j) y[(i + j) * strides[0]] = y_copy[j];
  }
}

at::Tensor run_binary(const char* op, elementwise::Fn& run, const Operand& a, const Operand& b,
                      float a_multiplier, float b_multiplier, const Output& output) {
  const elementwise::Args args{
      .a_zero_point = unsigned_zero_point(a.zero_point, a.tensor.scalar_type()),
      .b_zero_point = unsigned_zero_point(b.zero_point, b.tensor.scalar_type()),
      .a_multiplier = a_multiplier,
      .b_multiplier = b_multiplier,
      .a_flip = flip_of(a.tensor.scalar_type()),
      .b_flip = flip_of(b.tensor.scalar_type()),
      .requantize = make_requantize(output)};
  const at::Tensor y = empty_elementwise(op, {a.tensor, b.tensor}, output.dtype);
  if (y.numel() == 0) return y;
  if (a.tensor.sizes().equals(b.tensor.sizes()) && a.tensor.strides().equals(b.tensor.strides()) &&
      a.tensor.is_non_overlapping_and_dense()) {
    const auto* a_bytes = static_cast<const uint8_t*>(a.tensor.const_data_ptr());
    const auto* b_bytes = static_cast<const uint8_t*>(b.tensor.const_data_ptr());
    auto* y_bytes = static_cast<uint8_t*>(y.mutable_data_ptr());
    run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
      run(args, a_bytes + begin, b_bytes + begin, y_bytes + begin, end - begin);
    });
    return y;
  }
  at::TensorIterator iterator = at::TensorIteratorConfig()
                                    .set_check_mem_overlap(false)
                                    .check_all_same_dtype(false)
                                    .resize_outputs(false)
                                    .add_output(y)
                                    .add_const_input(a.tensor)
                                    .add_const_input(b.tensor)
                                    .build();
  iterator.for_each(
      [&](char** data, const int64_t* strides, int64_t size0, int64_t size1) {
        char* rows[3] = {data[0], data[1], data[2]};
        for (int64_t i = 0; i < size1; ++i) {
          run_row(run, args, rows, strides, size0);
          for (int t = 0; t < 3; ++t) rows[t] += strides[3 + t];
        }
      },
      kGrain);
  return y;
}

at::Tensor add_meta(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                    double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype, std::string_view activation,
                    at::ArrayRef<double> activation_args, double) {
  check_binary("add", {a, a_scale, a_zero_point}, {b, b_scale, b_zero_point}, at::kMeta);
  make_output("add", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return empty_elementwise_meta("add", {a, b}, y_dtype);
}

at::Tensor mul_meta(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
                    double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
                    at::ScalarType y_dtype, std::string_view activation,
                    at::ArrayRef<double> activation_args) {
  check_binary("mul", {a, a_scale, a_zero_point}, {b, b_scale, b_zero_point}, at::kMeta);
  make_output("mul", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return empty_elementwise_meta("mul", {a, b}, y_dtype);
}

}  // namespace

at::Tensor add(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
               double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
               at::ScalarType y_dtype, std::string_view activation,
               at::ArrayRef<double> activation_args, double alpha) {
  static auto& run = select(elementwise::add_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Operand left{a, a_scale, a_zero_point}, right{b, b_scale, b_zero_point};
  check_binary("add", left, right, at::kCPU);
  const Output output =
      make_output("add", y_scale, y_zero_point, y_dtype, activation, activation_args);
  TORCH_CHECK(std::isfinite(alpha), "qnative::add: alpha must be finite, got ", alpha);
  return run_binary("add", run, left, right, finite_multiplier("add", a_scale / y_scale),
                    finite_multiplier("add", alpha * b_scale / y_scale), output);
}

at::Tensor mul(const at::Tensor& a, double a_scale, int64_t a_zero_point, const at::Tensor& b,
               double b_scale, int64_t b_zero_point, double y_scale, int64_t y_zero_point,
               at::ScalarType y_dtype, std::string_view activation,
               at::ArrayRef<double> activation_args) {
  static auto& run = select(elementwise::mul_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const Operand left{a, a_scale, a_zero_point}, right{b, b_scale, b_zero_point};
  check_binary("mul", left, right, at::kCPU);
  const Output output =
      make_output("mul", y_scale, y_zero_point, y_dtype, activation, activation_args);
  return run_binary("mul", run, left, right, finite_multiplier("mul", a_scale * b_scale / y_scale),
                    0, output);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("add", TORCH_FN(add));
  m.impl("mul", TORCH_FN(mul));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("add", TORCH_FN(add_meta));
  m.impl("mul", TORCH_FN(mul_meta));
}

}  // namespace qnative::ops
