#include "quantize/quantize.h"

#include <torch/library.h>

#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "qnative/ops/quantize.h"
#include "quantize/checks.h"

namespace qnative::ops {
namespace {

constexpr int64_t kGrain = 16 * 1024;  // elements a task

at::Tensor quantize_meta(const at::Tensor& x, double scale, int64_t zero_point,
                         at::ScalarType dtype, std::optional<int64_t> quant_min,
                         std::optional<int64_t> quant_max) {
  check_real("quantize_per_tensor", x, at::kMeta);
  check_quant_range("quantize_per_tensor", dtype, quant_min, quant_max);
  check_qparams("quantize_per_tensor", "", scale, zero_point, dtype);
  return empty_elementwise_meta("quantize_per_tensor", {x}, dtype);
}

at::Tensor dequantize_meta(const at::Tensor& x, double scale, int64_t zero_point) {
  check_8bit("dequantize_per_tensor", "x", x, at::kMeta);
  check_qparams("dequantize_per_tensor", "", scale, zero_point, x.scalar_type());
  return empty_elementwise_meta("dequantize_per_tensor", {x}, at::kFloat);
}

}  // namespace

void check_real(const char* op, const at::Tensor& x, at::DeviceType device, const char* name) {
  check_tensor(op, name, x, device);
  const at::ScalarType dtype = x.scalar_type();
  TORCH_CHECK(
      dtype == at::kFloat || dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kDouble,
      "qnative::", op, ": ", name, " must be Float, Half, BFloat16 or Double, got ", dtype);
}

Range check_quant_range(const char* op, at::ScalarType dtype, std::optional<int64_t> quant_min,
                        std::optional<int64_t> quant_max) {
  TORCH_CHECK(is_8bit(dtype), "qnative::", op, ": dtype must be Byte or Char, got ", dtype);
  const Range whole = range_of(dtype);
  const Range part{quant_min.value_or(whole.min), quant_max.value_or(whole.max)};
  TORCH_CHECK(whole.min <= part.min && part.min < part.max && part.max <= whole.max,
              "qnative::", op, ": quant_min < quant_max must lie in [", whole.min, ", ", whole.max,
              "] for ", dtype, ", got ", part.min, " and ", part.max);
  return part;
}

at::Tensor quantize_per_tensor(const at::Tensor& x, double scale, int64_t zero_point,
                               at::ScalarType dtype, std::optional<int64_t> quant_min,
                               std::optional<int64_t> quant_max) {
  static auto& run = select(quantize::quantize_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_real("quantize_per_tensor", x, at::kCPU);
  const Range range = check_quant_range("quantize_per_tensor", dtype, quant_min, quant_max);
  check_qparams("quantize_per_tensor", "", scale, zero_point, dtype);
  const at::Tensor y = empty_elementwise("quantize_per_tensor", {x}, dtype);
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x.to(at::kFloat), y);
  const Requantize q{.zero_point = unsigned_zero_point(zero_point, dtype),
                     .lo = unsigned_zero_point(range.min, dtype),
                     .hi = unsigned_zero_point(range.max, dtype),
                     .flip = flip_of(dtype)};
  const float inverse_scale = static_cast<float>(1.0 / scale);
  const float* from = dense.const_data_ptr<float>();
  auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
  run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
    run(from + begin, to + begin, end - begin, inverse_scale, q);
  });
  return y;
}

at::Tensor dequantize_per_tensor(const at::Tensor& x, double scale, int64_t zero_point) {
  static auto& run = select(quantize::dequantize_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  check_8bit("dequantize_per_tensor", "x", x, at::kCPU);
  const at::ScalarType dtype = x.scalar_type();
  check_qparams("dequantize_per_tensor", "", scale, zero_point, dtype);
  const at::Tensor y = empty_elementwise("dequantize_per_tensor", {x}, at::kFloat);
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x, y);
  const auto* from = static_cast<const uint8_t*>(dense.const_data_ptr());
  float* to = y.mutable_data_ptr<float>();
  run_parts(y.numel(), 1, kGrain, [&](int64_t begin, int64_t end) {
    run(from + begin, to + begin, end - begin, static_cast<float>(scale),
        unsigned_zero_point(zero_point, dtype), flip_of(dtype));
  });
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("quantize_per_tensor", TORCH_FN(quantize_per_tensor));
  m.impl("dequantize_per_tensor", TORCH_FN(dequantize_per_tensor));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("quantize_per_tensor", TORCH_FN(quantize_meta));
  m.impl("dequantize_per_tensor", TORCH_FN(dequantize_meta));
}

}  // namespace qnative::ops
