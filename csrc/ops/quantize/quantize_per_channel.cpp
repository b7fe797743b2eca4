#include <torch/library.h>

#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "qnative/ops/quantize.h"
#include "quantize/checks.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr int64_t kChannelGrain = 16 * 1024;  // elements a task

// A non-negative axis; scale and zero_point fit it.
template <class Int>
int64_t check_channels_of(const char* op, const at::Tensor& x, const at::Tensor& scale,
                          const std::optional<at::Tensor>& zero_point, int64_t axis,
                          at::DeviceType device) {
  const int64_t rank = x.dim();
  TORCH_CHECK(axis >= -rank && axis < rank, "qnative::", op, ": axis must be in [", -rank, ", ",
              rank - 1, "], got ", axis);
  if (axis < 0) axis += rank;
  const at::ArrayRef<Int> sizes = at::symint::sizes<Int>(x);
  check_tensor(op, "scale", scale, device);
  TORCH_CHECK(scale.scalar_type() == at::kFloat || scale.scalar_type() == at::kDouble,
              "qnative::", op, ": scale must be Float or Double, got ", scale.scalar_type());
  TORCH_CHECK(scale.dim() == 1 && at::symint::size<Int>(scale, 0) == sizes[axis], "qnative::", op,
              ": scale must have shape [", sizes[axis], "], got ", at::symint::sizes<Int>(scale));
  if (!zero_point) return axis;
  check_tensor(op, "zero_point", *zero_point, device);
  TORCH_CHECK(zero_point->scalar_type() == at::kInt || zero_point->scalar_type() == at::kLong,
              "qnative::", op, ": zero_point must be Int or Long, got ", zero_point->scalar_type());
  TORCH_CHECK(zero_point->dim() == 1 && at::symint::size<Int>(*zero_point, 0) == sizes[axis],
              "qnative::", op, ": zero_point must have shape [", sizes[axis], "], got ",
              at::symint::sizes<Int>(*zero_point));
  return axis;
}

// Values of scale and zero_point, checked: scales as double, zero points of the uint8 form.
struct ChannelQParams {
  c10::SmallVector<float, 64> scale, inverse_scale;
  c10::SmallVector<int32_t, 64> zero_point;
};

ChannelQParams read_qparams(const char* op, const at::Tensor& scale,
                            const std::optional<at::Tensor>& zero_point, at::ScalarType dtype) {
  const at::Tensor scales = scale.to(at::kDouble).contiguous();
  const at::Tensor zero_points = zero_point ? zero_point->to(at::kLong).contiguous() : at::Tensor();
  ChannelQParams q;
  for (int64_t c = 0; c < scales.numel(); ++c) {
    const double s = scales.const_data_ptr<double>()[c];
    const int64_t z = zero_point ? zero_points.const_data_ptr<int64_t>()[c] : 0;
    check_qparams(op, "", s, z, dtype);
    q.scale.push_back(static_cast<float>(s));
    q.inverse_scale.push_back(static_cast<float>(1.0 / s));
    q.zero_point.push_back(unsigned_zero_point(z, dtype));
  }
  return q;
}

// Elements of y in memory: [outer][channels][inner].
struct Blocks {
  int64_t outer = 1, channels, inner = 1;
};

Blocks blocks_of(const at::Tensor& y, int64_t axis) {
  const Dims<int64_t> strides(y.strides().begin(), y.strides().end());
  Blocks blocks{.channels = y.size(axis)};
  bool faster = true;
  for (int64_t dim : physical_order<int64_t>(y.sizes(), strides)) {
    if (dim == axis) {
      faster = false;
    } else {
      (faster ? blocks.inner : blocks.outer) *= y.size(dim);
    }
  }
  return blocks;
}

// each(offset) for every run of all channels, or one(offset, channel) for every run of a channel.
template <class Each, class One>
void for_channels(const Blocks& blocks, const Each& each, const One& one) {
  if (blocks.inner == 1) {
    run_parts(blocks.outer, blocks.channels, kChannelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) each(i * blocks.channels);
    });
  } else {
    run_parts(blocks.outer * blocks.channels, blocks.inner, kChannelGrain,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) one(i * blocks.inner, i % blocks.channels);
              });
  }
}

at::Tensor quantize_per_channel_meta(const at::Tensor& x, const at::Tensor& scale,
                                     const at::Tensor& zero_point, int64_t axis,
                                     at::ScalarType dtype, std::optional<int64_t> quant_min,
                                     std::optional<int64_t> quant_max) {
  const char* const op = "quantize_per_channel";
  check_real(op, x, at::kMeta);
  check_quant_range(op, dtype, quant_min, quant_max);
  check_channels_of<c10::SymInt>(op, x, scale, zero_point, axis, at::kMeta);
  return empty_elementwise_meta(op, {x}, dtype);
}

at::Tensor dequantize_per_channel_meta(const at::Tensor& x, const at::Tensor& scale,
                                       const std::optional<at::Tensor>& zero_point, int64_t axis) {
  const char* const op = "dequantize_per_channel";
  check_8bit(op, "x", x, at::kMeta);
  check_channels_of<c10::SymInt>(op, x, scale, zero_point, axis, at::kMeta);
  return empty_elementwise_meta(op, {x}, at::kFloat);
}

}  // namespace

at::Tensor quantize_per_channel(const at::Tensor& x, const at::Tensor& scale,
                                const at::Tensor& zero_point, int64_t axis, at::ScalarType dtype,
                                std::optional<int64_t> quant_min,
                                std::optional<int64_t> quant_max) {
  static auto& run_one = select(quantize::quantize_kernels());
  static auto& run_each = select(quantize::quantize_each_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = "quantize_per_channel";
  check_real(op, x, at::kCPU);
  const Range range = check_quant_range(op, dtype, quant_min, quant_max);
  const int64_t channel_axis = check_channels_of<int64_t>(op, x, scale, zero_point, axis, at::kCPU);
  const ChannelQParams q = read_qparams(op, scale, zero_point, dtype);
  const at::Tensor y = empty_elementwise(op, {x}, dtype);
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x.to(at::kFloat), y);
  const float* from = dense.const_data_ptr<float>();
  auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
  const int32_t lo = unsigned_zero_point(range.min, dtype);
  const int32_t hi = unsigned_zero_point(range.max, dtype);
  const uint8_t flip = flip_of(dtype);
  const Blocks blocks = blocks_of(y, channel_axis);
  for_channels(
      blocks,
      [&](int64_t at) {
        run_each(from + at, to + at, blocks.channels, q.inverse_scale.data(), q.zero_point.data(),
                 lo, hi, flip);
      },
      [&](int64_t at, int64_t c) {
        run_one(from + at, to + at, blocks.inner, q.inverse_scale[c],
                {.zero_point = q.zero_point[c], .lo = lo, .hi = hi, .flip = flip});
      });
  return y;
}

at::Tensor dequantize_per_channel(const at::Tensor& x, const at::Tensor& scale,
                                  const std::optional<at::Tensor>& zero_point, int64_t axis) {
  static auto& run_one = select(quantize::dequantize_kernels());
  static auto& run_each = select(quantize::dequantize_each_kernels());
  const at::AutoDispatchBelowADInplaceOrView guard;
  const char* const op = "dequantize_per_channel";
  check_8bit(op, "x", x, at::kCPU);
  const int64_t channel_axis = check_channels_of<int64_t>(op, x, scale, zero_point, axis, at::kCPU);
  const ChannelQParams q = read_qparams(op, scale, zero_point, x.scalar_type());
  const at::Tensor y = empty_elementwise(op, {x}, at::kFloat);
  if (y.numel() == 0) return y;
  const at::Tensor dense = with_layout_of(x, y);
  const auto* from = static_cast<const uint8_t*>(dense.const_data_ptr());
  float* to = y.mutable_data_ptr<float>();
  const uint8_t flip = flip_of(x.scalar_type());
  const Blocks blocks = blocks_of(y, channel_axis);
  for_channels(
      blocks,
      [&](int64_t at) {
        run_each(from + at, to + at, blocks.channels, q.scale.data(), q.zero_point.data(), flip);
      },
      [&](int64_t at, int64_t c) {
        run_one(from + at, to + at, blocks.inner, q.scale[c], q.zero_point[c], flip);
      });
  return y;
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("quantize_per_channel", TORCH_FN(quantize_per_channel));
  m.impl("dequantize_per_channel", TORCH_FN(dequantize_per_channel));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("quantize_per_channel", TORCH_FN(quantize_per_channel_meta));
  m.impl("dequantize_per_channel", TORCH_FN(dequantize_per_channel_meta));
}

}  // namespace qnative::ops
