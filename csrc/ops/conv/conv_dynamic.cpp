#include <torch/library.h>

#include <algorithm>
#include <limits>

#include "common/activation.h"
#include "common/borrow.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "conv/dynamic_image.h"
#include "conv/image.h"
#include "conv/run.h"
#include "product/channel_params.h"
#include "qnative/ops/conv.h"

// conv<d>d_dynamic and conv_transpose<d>d_dynamic: every image of x is quantized by itself and goes
// through the convolution of 8-bit images, with float output.
namespace qnative::ops {
namespace {

class DynamicConv {
 public:
  // params: those for a scale of 1 and a zero point of -1, so that `start` has the sums of the
  // weights; transposed convolutions sum by themselves. y: from empty_output().
  DynamicConv(const ConvSteps& steps, const DynamicImages& images, const PackedWeight& w,
              const ChannelParams& params, const at::Tensor& y)
      : steps_(steps),
        images_(images),
        params_(params),
        channels_(steps.plan.args.weight.channels()),
        product_(make_product(w, channels_, params, steps.plan.output, y)),
        y_strides_(make_output_strides(y)),
        y_size_(y.numel() / images.count()) {}

  // Threads share out the images as far as there are as many for each, then the work of each.
  void run() const {
    const int64_t count = images_.count();
    const int64_t tasks = std::min(count, count_tasks(count * products(), kProductGrain));
    const int64_t shared = tasks > 1 ? count / tasks * tasks : 0;
    if (shared > 0) {
      run_tasks(tasks, [&](int64_t task) { run_images(part_of(shared, tasks, task)); });
    }
    run_images({shared, count});
  }

 private:
  bool is_transposed() const { return steps_.plan.args.kind.transposed; }

  // Multiply-adds of an image.
  int64_t products() const {
    const ConvWeight& weight = steps_.plan.args.weight;
    return y_size_ * weight.group_channels * weight.taps();
  }

  void run_images(const Part& part) const {
    if (part.begin == part.end) return;
    const int64_t channels = channels_.groups * channels_.padded_n();
    const at::Tensor image = images_.empty_image();
    Scratch scratch(Scratch::bytes<int32_t>(channels) + Scratch::bytes<float>(channels));
    auto* const start = scratch.take<int32_t>(channels);
    auto* const multiplier = scratch.take<float>(channels);
    for (int64_t i = part.begin; i < part.end; ++i) {
      gemm::Args product = product_;
      float* const y = static_cast<float*>(product_.y) + i * y_size_;
      const auto qparams = images_.quantize(i, image);
      if (!qparams) {
        std::fill_n(y, y_size_, std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      for (int64_t c = 0; c < channels; ++c) {
        if (!is_transposed()) start[c] = -qparams->zero_point * params_.start[c];
        multiplier[c] = qparams->scale * params_.multiplier[c];
      }
      product.start = start;
      product.multiplier = multiplier;
      product.y = y;
      run_image(image, qparams->zero_point, product, start);
    }
  }

  void run_image(const at::Tensor& image, int64_t zero_point, const gemm::Args& product,
                 int32_t* start) const {
    if (is_transposed()) {
      return run_conv_transpose({.plan = steps_.plan,
                                 .x = image,
                                 .x_zero_point = zero_point,
                                 .product = product,
                                 .start = start,
                                 .y_strides = y_strides_});
    }
    run_conv(steps_, image, zero_point, product, y_strides_);
  }

  const ConvSteps& steps_;
  const DynamicImages& images_;
  const ChannelParams params_;
  const WeightLayout channels_;
  const gemm::Args product_;
  const OutputStrides y_strides_;
  const int64_t y_size_;
};

at::Tensor conv_dynamic(const ConvKind& kind, const at::Tensor& x, const PackedWeight& w,
                        const ConvGeometry& geometry, const Activation& activation) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  const ConvSteps steps(plan_conv<int64_t>(kind, x, w, geometry, activation, at::kCPU));
  const OutputSpec& output = steps.plan.output;
  const WeightLayout channels = steps.plan.args.weight.channels();
  Scratch scratch(ChannelParams::bytes(channels));
  const ChannelParams params = kind.transposed
                                   ? make_channel_scales(kind.name, 1, w, channels, output, scratch)
                                   : make_channel_params(kind.name, {.scale = 1, .zero_point = -1},
                                                         w, channels, output, scratch);
  const at::Tensor y = empty_output(steps.plan);
  if (y.numel() > 0) {
    const DynamicImages images(to_image(x, kind.dims));
    DynamicConv(steps, images, w, params, y).run();
  }
  return from_image(y, kind.dims, has_batch(x, kind.dims));
}

at::Tensor conv_dynamic_meta(const ConvKind& kind, const at::Tensor& x, const PackedWeight& w,
                             const ConvGeometry& geometry, const Activation& activation) {
  return meta_output(plan_conv<c10::SymInt>(kind, x, w, geometry, activation, at::kMeta), x);
}

// The ops of the schemas. kRun: conv_dynamic or conv_dynamic_meta. Padding: numbers, as the other
// Ints, or its name.
template <const ConvKind& kKind, auto kRun, class Ints, class Padding>
at::Tensor conv_dynamic_op(const at::Tensor& x, const at::Tensor& weight,
                           const at::Tensor& weight_scale, const std::optional<at::Tensor>& bias,
                           Ints weight_shape, Ints stride, Padding padding, Ints dilation,
                           // NOLINTNEXTLINE(performance-unnecessary-value-param): as in conv_op
                           typename Ints::value_type groups, std::string_view activation,
                           at::ArrayRef<double> activation_args) {
  return kRun(kKind, x, BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              {.stride = at::IntArrayRef(concrete(stride)),
               .padding = make_padding(kKind, padding),
               .dilation = at::IntArrayRef(concrete(dilation)),
               .groups = concrete(groups)},
              parse_activation(kKind.name, activation, activation_args, Functions::kAllowed));
}

template <const ConvKind& kKind, auto kRun, class Ints>
at::Tensor conv_transpose_dynamic_op(
    const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weight_scale,
    const std::optional<at::Tensor>& bias, Ints weight_shape, Ints stride, Ints padding,
    Ints output_padding, Ints dilation,
    // NOLINTNEXTLINE(performance-unnecessary-value-param): as in conv_op
    typename Ints::value_type groups, std::string_view activation,
    at::ArrayRef<double> activation_args) {
  return kRun(kKind, x, BorrowedWeight(weight, weight_scale, bias, concrete(weight_shape)),
              {.stride = at::IntArrayRef(concrete(stride)),
               .padding = make_padding(kKind, padding),
               .dilation = at::IntArrayRef(concrete(dilation)),
               .groups = concrete(groups),
               .output_padding = at::IntArrayRef(concrete(output_padding))},
              parse_activation(kKind.name, activation, activation_args, Functions::kAllowed));
}

template <const ConvKind& kKind, auto kRun, class Ints>
void register_dynamic(torch::Library& m) {
  const std::string name = kKind.name;
  if constexpr (kKind.transposed) {
    m.impl(name.c_str(), TORCH_FN((conv_transpose_dynamic_op<kKind, kRun, Ints>)));
  } else {
    m.impl(name.c_str(), TORCH_FN((conv_dynamic_op<kKind, kRun, Ints, Ints>)));
    m.impl((name + ".padding").c_str(),
           TORCH_FN((conv_dynamic_op<kKind, kRun, Ints, std::string_view>)));
  }
}

template <auto kRun, class Ints>
void register_all_dynamic(torch::Library& m) {
  register_dynamic<kConv1dDynamic, kRun, Ints>(m);
  register_dynamic<kConv2dDynamic, kRun, Ints>(m);
  register_dynamic<kConv3dDynamic, kRun, Ints>(m);
  register_dynamic<kConvTranspose1dDynamic, kRun, Ints>(m);
  register_dynamic<kConvTranspose2dDynamic, kRun, Ints>(m);
  register_dynamic<kConvTranspose3dDynamic, kRun, Ints>(m);
}

}  // namespace

#define QNATIVE_DYNAMIC(op, kind)                                                         \
  at::Tensor op(const at::Tensor& x, const PackedWeight& w, const ConvGeometry& geometry, \
                const Activation& activation) {                                           \
    return conv_dynamic(kind, x, w, geometry, activation);                                \
  }
QNATIVE_DYNAMIC(conv1d_dynamic, kConv1dDynamic)
QNATIVE_DYNAMIC(conv2d_dynamic, kConv2dDynamic)
QNATIVE_DYNAMIC(conv3d_dynamic, kConv3dDynamic)
QNATIVE_DYNAMIC(conv_transpose1d_dynamic, kConvTranspose1dDynamic)
QNATIVE_DYNAMIC(conv_transpose2d_dynamic, kConvTranspose2dDynamic)
QNATIVE_DYNAMIC(conv_transpose3d_dynamic, kConvTranspose3dDynamic)
#undef QNATIVE_DYNAMIC

TORCH_LIBRARY_IMPL(qnative, CPU, m) { register_all_dynamic<conv_dynamic, at::IntArrayRef>(m); }

TORCH_LIBRARY_IMPL(qnative, Meta, m) {
  register_all_dynamic<conv_dynamic_meta, c10::SymIntArrayRef>(m);
}

}  // namespace qnative::ops
