#include <torch/library.h>

#include <cstring>
#include <numeric>

#include "common/activation.h"
#include "common/borrow.h"
#include "common/empty.h"
#include "common/parallel.h"
#include "conv/depthwise.h"
#include "conv/image.h"
#include "conv/run.h"
#include "qnative/ops/conv.h"

// conv_transpose1d, 2d and 3d. The outputs whose coordinates have the same remainders by the
// strides are a phase: the result of a convolution of stride 1 with some of the taps. No zeros are
// inserted, and nothing is multiplied by them.
namespace qnative::ops {
namespace {

constexpr int64_t kCopyGrain = 1 << 18;  // bytes of weight a task

// One dimension of a phase: y[first + t * stride] = sum_j x[t - pad + j * dilation] * w[tap(j)].
struct AxisPhase {
  int64_t first, count;              // outputs
  int64_t taps, last_tap, tap_step;  // tap(j) = last_tap - j * tap_step
  int64_t dilation, pad;

  int64_t tap(int64_t j) const { return last_tap - j * tap_step; }
};

// x[i] * w[k] goes to y[i * stride - padding + k * dilation], so that output `first` has the taps k
// with k * dilation = first + padding modulo stride.
AxisPhase axis_phase(const ConvArgs& args, size_t axis, int64_t first, int64_t out) {
  const int64_t stride = args.stride[axis], dilation = args.dilation[axis];
  const int64_t kernel = args.weight.kernel[axis], begin = first + args.padding_begin[axis];
  const int64_t divisor = std::gcd(stride, dilation);
  AxisPhase phase{.first = first,
                  .count = (out - first + stride - 1) / stride,
                  .taps = 0,
                  .last_tap = 0,
                  .tap_step = stride / divisor,
                  .dilation = dilation / divisor,
                  .pad = 0};
  for (int64_t k = 0; k < std::min(kernel, phase.tap_step); ++k) {
    if ((begin - k * dilation) % stride != 0) continue;
    phase.taps = (kernel - 1 - k) / phase.tap_step + 1;
    phase.last_tap = k + (phase.taps - 1) * phase.tap_step;
    phase.pad = (phase.taps - 1) * phase.dilation - (begin - k * dilation) / stride;
    break;
  }
  // A dilation that is never taken could be anything.
  if (phase.taps <= 1) phase.dilation = 1;
  return phase;
}

struct Phase {
  AxisPhase d, h, w;

  int64_t taps() const { return d.taps * h.taps * w.taps; }
  Window window() const {
    return {.kernel_d = d.taps,
            .kernel_h = h.taps,
            .kernel_w = w.taps,
            .stride_d = 1,
            .stride_h = 1,
            .stride_w = 1,
            .dilation_d = d.dilation,
            .dilation_h = h.dilation,
            .dilation_w = w.dilation,
            .pad_front = d.pad,
            .pad_top = h.pad,
            .pad_left = w.pad,
            .out_d = d.count,
            .out_h = h.count,
            .out_w = w.count};
  }
  // Calls f(index of the tap in torch's weight) in the order of the window.
  template <class F>
  void for_each_tap(const Spatial<int64_t>& kernel, const F& f) const {
    for (int64_t i = 0; i < d.taps; ++i) {
      for (int64_t j = 0; j < h.taps; ++j) {
        const int64_t row = d.tap(i) * kernel[1] + h.tap(j);
        for (int64_t k = 0; k < w.taps; ++k) f(row * kernel[2] + w.tap(k));
      }
    }
  }
};

class ConvTranspose {
 public:
  explicit ConvTranspose(const TransposeCall& call)
      : args_(call.plan.args),
        weight_(args_.weight),
        layout_(weight_.layout()),
        channels_(weight_.channels()),
        sizes_(call.plan.y_sizes),
        product_(call.product),
        start_(call.start),
        x_(weight_.is_depthwise() ? for_depthwise(call.x, weight_.out_channels)
                                  : with_dense_channels(call.x)),
        source_(make_source(x_, call.x_zero_point)),
        y_strides_(call.y_strides),
        packed_(empty({layout_.groups * layout_.group_bytes()}, at::kChar)) {
    if (!weight_.is_depthwise()) return;
    unpacked_ = empty({weight_.out_channels, weight_.taps()}, at::kChar);
    gemm::unpack(product_.weight, layout_.n, layout_.segments, layout_.segment_size,
                 unpacked_.mutable_data_ptr<int8_t>());
  }

  void run() {
    const auto phases = [&](size_t i) { return std::min(args_.stride[i], sizes_[2 + i]); };
    for (int64_t d = 0; d < phases(0); ++d) {
      const AxisPhase depth = axis_phase(args_, 0, d, sizes_[2]);
      for (int64_t h = 0; h < phases(1); ++h) {
        const AxisPhase height = axis_phase(args_, 1, h, sizes_[3]);
        for (int64_t w = 0; w < phases(2); ++w) {
          run_phase({depth, height, axis_phase(args_, 2, w, sizes_[4])});
        }
      }
    }
  }

 private:
  void run_phase(const Phase& phase) {
    const Window window = phase.window();
    const int64_t at = phase.d.first * y_strides_.slice + phase.h.first * y_strides_.row +
                       phase.w.first * y_strides_.pixel;
    gemm::Args product = product_;
    product.y = static_cast<std::byte*>(product_.y) + at * gemm::y_bytes(product_);
    product.start = start_;
    const OutputStrides strides{.image = y_strides_.image,
                                .slice = y_strides_.slice * args_.stride[0],
                                .row = y_strides_.row * args_.stride[1],
                                .pixel = y_strides_.pixel * args_.stride[2]};
    if (phase.taps() > 0 && weight_.is_depthwise()) {
      product.weight = depthwise_weight(phase);
      return run_depthwise(source_, window, strides, product);
    }
    const bool is_dense = args_.stride == Spatial<int64_t>{1, 1, 1};
    run_image({.x = source_,
               .window = window,
               .groups = channels_.groups,
               .group_weight = group_weight(phase),
               .group_params = channels_.padded_n(),
               .segment_taps = 1,
               .y_strides = is_dense ? std::nullopt : std::optional(strides),
               .product = with_weight(product, phase)});
  }

  int64_t group_weight(const Phase& phase) const {
    if (phase.taps() == 1) return weight_.taps() * layout_.group_bytes();
    return phase.taps() * layout_.panel_bytes();
  }

  // The taps of a phase where they are, or one panel after the other.
  gemm::Args with_weight(gemm::Args product, const Phase& phase) {
    const int64_t padded_n = channels_.padded_n(), block = layout_.group_bytes();
    std::memset(start_, 0, channels_.groups * padded_n * sizeof(int32_t));
    if (phase.taps() == 0) return product;
    at::DimVector taps;
    phase.for_each_tap(weight_.kernel, [&](int64_t tap) { taps.push_back(tap); });
    for (int64_t g = 0; g < channels_.groups; ++g) {
      for (int64_t tap : taps) {
        const int8_t* sums = product.weight + (g * weight_.taps() + tap) * block;
        add_sums(sums + layout_.panel_bytes(), start_ + g * padded_n, padded_n);
      }
    }
    if (phase.taps() == 1) {
      product.weight += taps[0] * block;
      return product;
    }
    const int64_t panels = padded_n / 16, panel = layout_.panel_bytes() / panels;
    int8_t* const to = packed_.mutable_data_ptr<int8_t>();
    const int64_t count = phase.taps();
    run_parts(channels_.groups * panels, count * panel, kCopyGrain,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int8_t* group = product.weight + i / panels * weight_.taps() * block;
                  for (int64_t t = 0; t < count; ++t) {
                    std::memcpy(to + (i * count + t) * panel,
                                group + taps[t] * block + i % panels * panel, panel);
                  }
                }
              });
    product.weight = to;
    return product;
  }

  // The taps of a phase packed as a kernel of their own.
  const int8_t* depthwise_weight(const Phase& phase) {
    const int64_t count = phase.taps(), n = weight_.out_channels;
    at::DimVector taps;
    phase.for_each_tap(weight_.kernel, [&](int64_t tap) { taps.push_back(tap); });
    const at::Tensor chosen = empty({n, count}, at::kChar);
    const int8_t* from = unpacked_.const_data_ptr<int8_t>();
    int8_t* at = chosen.mutable_data_ptr<int8_t>();
    for (int64_t c = 0; c < n; ++c, from += weight_.taps()) {
      for (int64_t tap : taps) *at++ = from[tap];
    }
    const int64_t rows = phase.d.taps * phase.h.taps;
    int8_t* const to = packed_.mutable_data_ptr<int8_t>();
    gemm::pack(chosen.const_data_ptr<int8_t>(), n, rows, phase.w.taps, to);
    const int64_t padded_n = channels_.padded_n();
    std::memset(start_, 0, padded_n * sizeof(int32_t));
    add_sums(to + gemm::panels_size(n, rows, phase.w.taps), start_, padded_n);
    return to;
  }

  // start -= zero point * column sums, which may lie at any address.
  void add_sums(const int8_t* sums, int32_t* start, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) {
      int32_t sum;
      std::memcpy(&sum, sums + i * static_cast<int64_t>(sizeof(sum)), sizeof(sum));
      start[i] -= source_.pad_value * sum;
    }
  }

  const ConvArgs& args_;
  const ConvWeight& weight_;
  const WeightLayout layout_, channels_;
  const std::array<int64_t, 5>& sizes_;
  const gemm::Args product_;
  int32_t* const start_;  // that of product_, which each phase fills
  const at::Tensor x_;
  const Source source_;
  const OutputStrides y_strides_;
  const at::Tensor packed_;  // weight of a phase
  at::Tensor unpacked_;      // weight of a depthwise convolution, [O][taps]
};

QTensor conv_transpose(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
                       const ConvGeometry& geometry, const OutputSpec& y) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const auto plan = plan_conv<int64_t>(kind, x, w, geometry, y, at::kCPU);
  const WeightLayout channels = plan.args.weight.channels();
  Scratch scratch(ChannelParams::bytes(channels));
  const MutableChannelParams params =
      make_channel_scales(kind.name, x.qparams.scale, w, channels, y, scratch);
  const at::Tensor image = empty_output(plan);
  if (image.numel() > 0) {
    run_conv_transpose({.plan = plan,
                        .x = to_image(x.data, kind.dims),
                        .x_zero_point = x.qparams.zero_point,
                        .product = make_product(w, channels, params, y, image),
                        .start = params.start,
                        .y_strides = make_output_strides(image)});
  }
  return {from_image(image, kind.dims, has_batch(x.data, kind.dims)), output_qparams(y)};
}

// The ops of the schemas. kRun: conv_transpose or conv_meta.
template <const ConvKind& kKind, auto kRun, class Ints>
at::Tensor conv_transpose_op(const at::Tensor& x, double x_scale, int64_t x_zero_point,
                             const at::Tensor& weight, const at::Tensor& weight_scale,
                             const std::optional<at::Tensor>& bias, Ints weight_shape, Ints stride,
                             Ints padding, Ints output_padding, Ints dilation,
                             // NOLINTNEXTLINE(performance-unnecessary-value-param): as in conv_op
                             typename Ints::value_type groups, double y_scale, int64_t y_zero_point,
                             at::ScalarType y_dtype, std::string_view activation,
                             at::ArrayRef<double> activation_args) {
  return kRun(kKind, BorrowedQTensor(x, {x_scale, x_zero_point}),
              BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              {.stride = at::IntArrayRef(concrete(stride)),
               .padding = make_padding(kKind, padding),
               .dilation = at::IntArrayRef(concrete(dilation)),
               .groups = concrete(groups),
               .output_padding = at::IntArrayRef(concrete(output_padding))},
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation(kKind.name, activation, activation_args)})
      .data;
}

template <const ConvKind& kKind, auto kRun, class Ints>
void register_op(torch::Library& m) {
  m.impl(kKind.name, TORCH_FN((conv_transpose_op<kKind, kRun, Ints>)));
}

}  // namespace

void run_conv_transpose(const TransposeCall& call) { ConvTranspose(call).run(); }

QTensor conv_transpose1d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                         const OutputSpec& y) {
  return conv_transpose(kConvTranspose1d, x, w, geometry, y);
}

QTensor conv_transpose2d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                         const OutputSpec& y) {
  return conv_transpose(kConvTranspose2d, x, w, geometry, y);
}

QTensor conv_transpose3d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
                         const OutputSpec& y) {
  return conv_transpose(kConvTranspose3d, x, w, geometry, y);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  register_op<kConvTranspose1d, conv_transpose, at::IntArrayRef>(m);
  register_op<kConvTranspose2d, conv_transpose, at::IntArrayRef>(m);
  register_op<kConvTranspose3d, conv_transpose, at::IntArrayRef>(m);
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  register_op<kConvTranspose1d, conv_meta, c10::SymIntArrayRef>(m);
  register_op<kConvTranspose2d, conv_meta, c10::SymIntArrayRef>(m);
  register_op<kConvTranspose3d, conv_meta, c10::SymIntArrayRef>(m);
}

}  // namespace qnative::ops
