#include <torch/library.h>

#include "common/dispatch.h"
#include "common/layout.h"
#include "common/parallel.h"
#include "qnative/ops/quantize.h"
#include "quantize/checks.h"
#include "quantize/quantize.h"

namespace qnative::ops {
namespace {

constexpr const char* kQuantize = "quantize_per_channel";
constexpr const char* kDequantize = "dequantize_per_channel";
constexpr int64_t kChannelGrain = 16 * 1024;  // elements a task

// A non-negative axis; scale and zero_point fit it.
template <class Int>
int64_t check_channel_qparams(const char* op, const at::Tensor& x, const ChannelQParams& qparams) {
  const auto& [scale, zero_point, axis] = qparams;
  const int64_t rank = x.dim();
  TORCH_CHECK(axis >= -rank && axis < rank, "qnative::", op, ": axis must be in [", -rank, ", ",
              rank - 1, "], got ", axis);
  const int64_t channel_axis = axis < 0 ? axis + rank : axis;
  const Int channels = at::symint::size<Int>(x, channel_axis);
  check_tensor(op, "scale", scale, kDevice<Int>);
  TORCH_CHECK(scale.scalar_type() == at::kFloat || scale.scalar_type() == at::kDouble,
              "qnative::", op, ": scale must be Float or Double, got ", scale.scalar_type());
  TORCH_CHECK(scale.dim() == 1 && at::symint::size<Int>(scale, 0) == channels, "qnative::", op,
              ": scale must have shape [", channels, "], got ", at::symint::sizes<Int>(scale));
  if (!zero_point) return channel_axis;
  check_tensor(op, "zero_point", *zero_point, kDevice<Int>);
  TORCH_CHECK(zero_point->scalar_type() == at::kInt || zero_point->scalar_type() == at::kLong,
              "qnative::", op, ": zero_point must be Int or Long, got ", zero_point->scalar_type());
  TORCH_CHECK(zero_point->dim() == 1 && at::symint::size<Int>(*zero_point, 0) == channels,
              "qnative::", op, ": zero_point must have shape [", channels, "], got ",
              at::symint::sizes<Int>(*zero_point));
  return channel_axis;
}

// Values of scale and zero_point, checked: zero points of the uint8 form.
struct ChannelValues {
  c10::SmallVector<float, 64> scale, inverse_scale;
  c10::SmallVector<int32_t, 64> zero_point;
};

ChannelValues read_qparams(const char* op, const ChannelQParams& qparams, at::ScalarType dtype) {
  const at::Tensor scales = qparams.scale.to(at::kDouble).contiguous();
  at::Tensor zero_points;
  if (qparams.zero_point) zero_points = qparams.zero_point->to(at::kLong).contiguous();
  ChannelValues values;
  for (int64_t c = 0; c < scales.numel(); ++c) {
    const double scale = scales.const_data_ptr<double>()[c];
    const int64_t zero_point = qparams.zero_point ? zero_points.const_data_ptr<int64_t>()[c] : 0;
    check_qparams(op, "", {scale, zero_point}, dtype);
    values.scale.push_back(static_cast<float>(scale));
    values.inverse_scale.push_back(static_cast<float>(1.0 / scale));
    values.zero_point.push_back(unsigned_zero_point(zero_point, dtype));
  }
  return values;
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

// All that constants and shapes determine, checked.
template <class Int>
struct ChannelPlan {
  int64_t axis;  // not negative
  Layout<Int> layout;
  Range range = {};  // of quantize
};

template <class Int>
ChannelPlan<Int> plan_quantize(const at::Tensor& x, const ChannelQParams& qparams,
                               const QRange& range) {
  check_real(kQuantize, x, kDevice<Int>);
  const Range part = check_quant_range(kQuantize, range);
  const int64_t axis = check_channel_qparams<Int>(kQuantize, x, qparams);
  return {axis, elementwise_layout<Int>(kQuantize, {x}), part};
}

template <class Int>
ChannelPlan<Int> plan_dequantize(const at::Tensor& x, const ChannelQParams& qparams) {
  check_8bit(kDequantize, "x", x, kDevice<Int>);
  const int64_t axis = check_channel_qparams<Int>(kDequantize, x, qparams);
  return {axis, elementwise_layout<Int>(kDequantize, {x})};
}

at::Tensor run_quantize(const ChannelPlan<int64_t>& plan, const at::Tensor& x,
                        const ChannelQParams& qparams, at::ScalarType dtype) {
  static auto& run_one = select(quantize::quantize_kernels());
  static auto& run_each = select(quantize::quantize_each_kernels());
  const ChannelValues q = read_qparams(kQuantize, qparams, dtype);
  const at::Tensor y = empty(plan.layout, dtype);
  if (y.numel() == 0) return y;
  const auto real = as_float(x);
  const auto dense = with_layout_of(*real, y);
  const float* from = dense->const_data_ptr<float>();
  auto* to = static_cast<uint8_t*>(y.mutable_data_ptr());
  const int32_t lo = unsigned_zero_point(plan.range.min, dtype);
  const int32_t hi = unsigned_zero_point(plan.range.max, dtype);
  const uint8_t flip = flip_of(dtype);
  const Blocks blocks = blocks_of(y, plan.axis);
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

at::Tensor run_dequantize(const ChannelPlan<int64_t>& plan, const at::Tensor& x,
                          const ChannelQParams& qparams) {
  static auto& run_one = select(quantize::dequantize_kernels());
  static auto& run_each = select(quantize::dequantize_each_kernels());
  const ChannelValues q = read_qparams(kDequantize, qparams, x.scalar_type());
  const at::Tensor y = empty(plan.layout, at::kFloat);
  if (y.numel() == 0) return y;
  const auto dense = with_layout_of(x, y);
  const auto* from = static_cast<const uint8_t*>(dense->const_data_ptr());
  float* to = y.mutable_data_ptr<float>();
  const uint8_t flip = flip_of(x.scalar_type());
  const Blocks blocks = blocks_of(y, plan.axis);
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

at::Tensor quantize_channels_meta(const at::Tensor& x, const ChannelQParams& qparams,
                                  const QRange& range) {
  return empty(plan_quantize<c10::SymInt>(x, qparams, range).layout, range.dtype);
}

at::Tensor dequantize_channels_meta(const at::Tensor& x, const ChannelQParams& qparams) {
  return empty(plan_dequantize<c10::SymInt>(x, qparams).layout, at::kFloat);
}

}  // namespace

at::Tensor quantize_per_channel(const at::Tensor& x, const ChannelQParams& qparams,
                                const QRange& range) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_quantize(plan_quantize<int64_t>(x, qparams, range), x, qparams, range.dtype);
}

at::Tensor dequantize_per_channel(const at::Tensor& x, const ChannelQParams& qparams) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return run_dequantize(plan_dequantize<int64_t>(x, qparams), x, qparams);
}

namespace {

// The ops of the schemas. kRun: quantize_per_channel, dequantize_per_channel or its Meta function.
template <auto kRun>
at::Tensor quantize_channels_op(const at::Tensor& x, const at::Tensor& scale,
                                const at::Tensor& zero_point, int64_t axis, at::ScalarType dtype,
                                std::optional<int64_t> quant_min,
                                std::optional<int64_t> quant_max) {
  return kRun(x, {scale, zero_point, axis}, {dtype, quant_min, quant_max});
}

template <auto kRun>
at::Tensor dequantize_channels_op(const at::Tensor& x, const at::Tensor& scale,
                                  const std::optional<at::Tensor>& zero_point, int64_t axis) {
  return kRun(x, {scale, zero_point, axis});
}

}  // namespace

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  m.impl("quantize_per_channel", TORCH_FN(quantize_channels_op<quantize_per_channel>));
  m.impl("dequantize_per_channel", TORCH_FN(dequantize_channels_op<dequantize_per_channel>));
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  m.impl("quantize_per_channel", TORCH_FN(quantize_channels_op<quantize_channels_meta>));
  m.impl("dequantize_per_channel", TORCH_FN(dequantize_channels_op<dequantize_channels_meta>));
}

}  // namespace qnative::ops
