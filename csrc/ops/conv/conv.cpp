#include "qnative/ops/conv.h"

#include <torch/library.h>

#include "common/activation.h"
#include "common/borrow.h"
#include "common/plans.h"
#include "conv/depthwise.h"
#include "conv/image.h"
#include "conv/run.h"
#include "product/planned.h"

// conv1d, conv2d and conv3d.
namespace qnative::ops {
namespace {

Window make_window(const ConvArgs& args, const std::array<int64_t, 5>& y) {
  // A stride that is never taken could be anything, up to overflowing.
  const auto stride = [&](size_t i) { return y[2 + i] > 1 ? args.stride[i] : 1; };
  return {.kernel_d = args.weight.kernel[0],
          .kernel_h = args.weight.kernel[1],
          .kernel_w = args.weight.kernel[2],
          .stride_d = stride(0),
          .stride_h = stride(1),
          .stride_w = stride(2),
          .dilation_d = args.dilation[0],
          .dilation_h = args.dilation[1],
          .dilation_w = args.dilation[2],
          .pad_front = args.padding_begin[0],
          .pad_top = args.padding_begin[1],
          .pad_left = args.padding_begin[2],
          .out_d = y[2],
          .out_h = y[3],
          .out_w = y[4]};
}

// image: from with_dense_channels(), which must outlive the result.
Convolution make_convolution(const ConvSteps& steps, const at::Tensor& image, int64_t x_zero_point,
                             const gemm::Args& product) {
  const WeightLayout& layout = steps.layout;
  return {.x = make_source(image, x_zero_point),
          .window = steps.window,
          .groups = layout.groups,
          .group_weight = layout.group_bytes(),
          .group_params = layout.padded_n(),
          .segment_taps = steps.plan.args.weight.kernel[2],
          .tables = steps.tables.empty() ? nullptr : steps.tables.data(),
          .product = product};
}

// y as the kernels write it.
at::Tensor run_conv(const ConvSteps& steps, const QTensor& x, const PackedWeight& w,
                    const ChannelParams& params) {
  at::Tensor y = empty_output(steps.plan);
  if (y.numel() == 0) return y;
  run_conv(steps, to_image(x.data, steps.plan.args.kind.dims), x.qparams.zero_point,
           make_product(w, steps.layout, params, steps.plan.output, y), make_output_strides(y));
  return y;
}

struct ConvConstants {
  const ConvKind& kind;
  QParams x;
  PackedWeight w;
  ConvGeometry geometry;
  OutputSpec y;
};

struct ConvLayer {
  using Owned = ConvConstants;
  using Plan = ConvSteps;

  explicit ConvLayer(const ConvConstants& c) : ConvLayer(c.kind, c.w, c.geometry, c.y) {}
  ConvLayer(const ConvKind& its_kind, const PackedWeight& its_w, const ConvGeometry& its_geometry,
            const OutputSpec& its_y)
      : kind(its_kind), w(its_w), geometry(its_geometry), y(its_y) {}

  ChannelParams params(const Plan& plan, const QTensor& x, Scratch& scratch) const {
    return make_channel_params(kind.name, unsigned_qparams(x), w, plan.layout, y, scratch);
  }
  Plan plan(const QTensor& x) const {
    return ConvSteps(plan_conv<int64_t>(kind, x, w, geometry, y, at::kCPU));
  }
  void keep(Plan& steps, const QTensor& x) const {
    const bool has_tables = !steps.plan.args.weight.is_depthwise() && x.data.numel() > 0;
    if (has_tables) steps.tables = conv_tables(steps, to_image(x.data, kind.dims));
  }
  static Work work(const Plan& steps, const QTensor& /*x*/) {
    const ConvWeight& weight = steps.plan.args.weight;
    double operations = 2.0 * static_cast<double>(weight.taps() * weight.group_channels);
    for (const int64_t size : steps.plan.y_sizes) operations *= static_cast<double>(size);
    return {weight.is_depthwise() ? "dwconv" : "gemm", operations};
  }
  at::Tensor run(const Plan& plan, const QTensor& x, const ChannelParams& params) const {
    const at::Tensor image = run_conv(plan, x, w, params);
    return from_image(image, kind.dims, has_batch(x.data, kind.dims));
  }

  const ConvKind& kind;
  const PackedWeight& w;
  const ConvGeometry& geometry;
  const OutputSpec& y;
};

QTensor conv(const ConvKind& kind, const QTensor& x, const PackedWeight& w,
             const ConvGeometry& geometry, const OutputSpec& y) {
  return {run_layer(ConvLayer(kind, w, geometry, y), x), output_qparams(y)};
}

// The ops of the schemas. kRun: conv or conv_meta. Padding: numbers, as the other Ints, or its
// name.
template <const ConvKind& kKind, auto kRun, class Ints, class Padding>
at::Tensor conv_op(
    const at::Tensor& x, double x_scale, int64_t x_zero_point, const at::Tensor& weight,
    const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias, Ints weight_shape,
    Ints stride, Padding padding, Ints dilation,
    // NOLINTNEXTLINE(performance-unnecessary-value-param): the dispatcher passes it so
    typename Ints::value_type groups, double y_scale, int64_t y_zero_point, at::ScalarType y_dtype,
    std::string_view activation, at::ArrayRef<double> activation_args) {
  return kRun(kKind, BorrowedQTensor(x, {x_scale, x_zero_point}),
              BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              {.stride = at::IntArrayRef(concrete(stride)),
               .padding = make_padding(kKind, padding),
               .dilation = at::IntArrayRef(concrete(dilation)),
               .groups = concrete(groups)},
              {.qparams = {y_scale, y_zero_point},
               .dtype = y_dtype,
               .activation = parse_activation(kKind.name, activation, activation_args)})
      .data;
}

template <const ConvKind& kKind, auto kRun, class Ints>
void register_ops(torch::Library& m) {
  const std::string name = kKind.name;
  m.impl(name.c_str(), TORCH_FN((conv_op<kKind, kRun, Ints, Ints>)));
  m.impl((name + ".padding").c_str(), TORCH_FN((conv_op<kKind, kRun, Ints, std::string_view>)));
}

}  // namespace

ConvSteps::ConvSteps(const ConvPlan<int64_t>& its_plan)
    : plan(its_plan),
      window(make_window(plan.args, plan.y_sizes)),
      layout(plan.args.weight.layout()) {}

std::vector<int64_t> conv_tables(const ConvSteps& steps, const at::Tensor& x) {
  gemm::Args product{};
  product.n = steps.layout.n;
  product.float_output = steps.plan.output.is_float();
  return image_tables(make_convolution(steps, with_dense_channels(x), 0, product));
}

void run_conv(const ConvSteps& steps, const at::Tensor& x, int64_t x_zero_point, gemm::Args product,
              const OutputStrides& y_strides) {
  const ConvWeight& weight = steps.plan.args.weight;
  product.has_zeros = weight.merged_groups() > 1;
  if (weight.is_depthwise()) {
    const at::Tensor image = for_depthwise(x, weight.out_channels);
    run_depthwise(make_source(image, x_zero_point), steps.window, y_strides, product);
    return;
  }
  const at::Tensor image = with_dense_channels(x);
  run_image(make_convolution(steps, image, x_zero_point, product));
}

std::unique_ptr<PlannedOp> plan_conv_op(const ConvKind& kind, bool has_named_padding,
                                        Arguments& arguments) {
  arguments.operand();
  const QParams x = arguments.qparams();
  PackedWeight w = arguments.weight();
  ConvGeometry geometry;
  geometry.stride = arguments.ints();
  geometry.padding = has_named_padding ? make_padding(kind, arguments.text())
                                       : ConvPadding(at::IntArrayRef(arguments.ints()));
  geometry.dilation = arguments.ints();
  geometry.groups = arguments.integer();
  const OutputSpec y = arguments.activated_output(kind.name);
  return make_planned(
      LayerOp<ConvLayer>(ConvConstants{kind, x, std::move(w), std::move(geometry), y}), arguments);
}

QTensor conv1d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
               const OutputSpec& y) {
  return conv(kConv1d, x, w, geometry, y);
}

QTensor conv2d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
               const OutputSpec& y) {
  return conv(kConv2d, x, w, geometry, y);
}

QTensor conv3d(const QTensor& x, const PackedWeight& w, const ConvGeometry& geometry,
               const OutputSpec& y) {
  return conv(kConv3d, x, w, geometry, y);
}

TORCH_LIBRARY_IMPL(qnative, CPU, m) {
  register_ops<kConv1d, conv, at::IntArrayRef>(m);
  register_ops<kConv2d, conv, at::IntArrayRef>(m);
  register_ops<kConv3d, conv, at::IntArrayRef>(m);
}

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  register_ops<kConv1d, conv_meta, c10::SymIntArrayRef>(m);
  register_ops<kConv2d, conv_meta, c10::SymIntArrayRef>(m);
  register_ops<kConv3d, conv_meta, c10::SymIntArrayRef>(m);
}

}  // namespace qnative::ops
